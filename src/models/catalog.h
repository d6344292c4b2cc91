#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "models/types.h"

namespace switchyard::models {

/// What the names of a catalog mean: ids and extra names -> the model's newest version. Errors:
/// kInvalidArgument for an empty or doubled name, a model without versions, a spec of another model.
[[nodiscard]] Result<std::unordered_map<std::string, VersionRef>> make_name_table(
    const std::vector<ModelDefinition>& models);

}  // namespace switchyard::models
