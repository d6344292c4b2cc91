#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "models/types.h"

namespace switchyard::gateway {

/// Which of several versions is to answer a request: the first is the one it means, the others stand in for
/// it where it cannot answer now. None: one that is not catalogued.
[[nodiscard]] std::size_t choose(const std::vector<std::optional<models::Standing>>& standings);

}  // namespace switchyard::gateway
