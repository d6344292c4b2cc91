#pragma once

#include "engine/api/engine.h"

struct common_params;

namespace switchyard::engine {

/// Fills need, resolved_args (ctx-size, n-gpu-layers, cache-ram), n_ctx, ... of `inspection` by
/// letting llama.cpp build the model and its context without allocating them. Unset sizes take the
/// largest that the budgets admit: GPU layers first, then context (at least 4096 or the trained one,
/// at most the trained one). Only in an inspection child. Errors: kUnsupportedArchitecture,
/// kCorruptFile, kInvalidArgument (no such projector, draft, adapter).
[[nodiscard]] Status predict_memory(const ModelSpec& spec, const InspectOptions& options,
                                    ByteSize default_prompt_cache, common_params& params,
                                    Inspection& inspection);

}  // namespace switchyard::engine
