#pragma once

#include "engine/api/engine.h"
#include "switchyard/result.h"

struct common_params;
struct llama_model;

namespace switchyard::engine {

/// For the inspection child: what the server would do with a model, done once where it hurts nobody.
/// What makes llama.cpp abort or spin does so here, and not after another model has made room. A
/// crash ends the process with a typed answer (ChildPhase).

/// Renders the chat template of `model`, of which the vocabulary is enough. Errors: kCorruptFile.
[[nodiscard]] Status rehearse_template(const common_params& params, const llama_model* model);

/// Loads the model with its companions (projector, draft, adapters) and lets it generate, on the
/// processor, with a small context and one thread. Files above 4 GiB are let through: to run them
/// here would cost too much. `inspection` has the file's size and is told what was seen of the contexts.
/// Errors: kCorruptFile.
[[nodiscard]] Status rehearse(const ModelSpec& spec, const common_params& params, Inspection& inspection);

}  // namespace switchyard::engine
