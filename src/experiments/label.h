#pragma once

#include <string_view>

#include "switchyard/result.h"

namespace switchyard::experiments {

/// What a word of feedback counts as: 1 for "good", "up" and their like, 0 for their contraries, 0.5 for
/// "neutral". Errors: kInvalidArgument with near words.
[[nodiscard]] Result<double> score_of_label(std::string_view label);

}  // namespace switchyard::experiments
