#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "models/types.h"

namespace switchyard::models {

/// A catalog's names that are no ids -> the model's id.
using FurtherNames = std::map<std::string, std::string, std::less<>>;

/// Errors: kInvalidArgument for an empty or doubled name or version, a model without versions.
[[nodiscard]] Result<FurtherNames> further_names(const std::vector<ModelDefinition>& models);

}  // namespace switchyard::models
