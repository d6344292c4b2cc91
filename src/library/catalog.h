#pragma once

#include <vector>

#include "engine/api/engine.h"
#include "models/types.h"
#include "switchyard/model_manager.h"
#include "traffic/types.h"

namespace switchyard::library {

/// Checked and in the form that engines take. Errors: kInvalidArgument, kNotFound.
[[nodiscard]] Result<engine::ModelSpec> make_spec(const ModelConfig& config);

/// Puts `spec` among its model's versions, as the last one, and takes over the model's settings.
void put_version(std::vector<models::ModelDefinition>& definitions, const ModelConfig& config,
                 engine::ModelSpec spec);

[[nodiscard]] ModelInfo to_info(const models::VersionStatus& status);
[[nodiscard]] SwitchRecord to_record(const traffic::SwitchReport& report);

}  // namespace switchyard::library
