#pragma once

#include <memory>

#include "engine/api/engine.h"

struct common_params;

namespace switchyard::engine {

/// llama.cpp's parameters for a spec's options: defaults, then the options through llama.cpp's own
/// handlers, then everything that llama-server's main() does around a server_context, then our own
/// defaults for what was not set:
///  - n_batch = n_ubatch (512): a prompt is decoded in pieces of one micro-batch, so that other slots'
///    tokens and the choice of threads are never further away than that;
///  - fit_params off: the budget decides, and llama.cpp's way swaps the process-wide logger;
///  - --metrics on: the samples of the fleet's own metrics need it, and /metrics?model= answers.
/// Errors: kInvalidArgument with option and reason. Any thread; calls are serialised inside.
[[nodiscard]] Result<std::unique_ptr<common_params>> make_params(const ModelSpec& spec);

}  // namespace switchyard::engine
