#pragma once

#include <string>

#include "engine/api/engine.h"

namespace switchyard::engine {

/// Everything that the state of a conversation depends on, as text: weights, options, adapters, draft
/// and projector files, llama.cpp itself. Equal shapes may exchange states; the options that only say
/// how a reply is chosen, how fast it comes or how much a context holds are left out.
[[nodiscard]] std::string state_shape(const Inspection& inspection);

}  // namespace switchyard::engine
