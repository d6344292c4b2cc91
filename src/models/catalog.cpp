#include "models/catalog.h"

#include <fmt/format.h>

#include <set>
#include <string_view>

namespace switchyard::models {

Result<FurtherNames> further_names(const std::vector<ModelDefinition>& models) {
  std::set<std::string_view> ids;
  for (const ModelDefinition& model : models) {
    if (model.id.empty()) return fail(ErrorCode::kInvalidArgument, "a model has an empty id");
    if (model.versions.empty()) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("model '{}' has no version", model.id));
    }
    std::set<std::string_view> versions;
    for (const engine::ModelSpec& spec : model.versions) {
      if (spec.version.empty() || !versions.insert(spec.version).second) {
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("model '{}' has the version '{}' twice", model.id, spec.version));
      }
    }
    if (!ids.insert(model.id).second) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("two models are called '{}'", model.id));
    }
  }
  FurtherNames names;
  for (const ModelDefinition& model : models) {
    for (const std::string& name : model.extra_names) {
      if (name == model.id) continue;
      if (name.empty() || ids.contains(name) || !names.emplace(name, model.id).second) {
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("the name '{}' of model '{}' is taken already", name, model.id));
      }
    }
  }
  return names;
}

}  // namespace switchyard::models
