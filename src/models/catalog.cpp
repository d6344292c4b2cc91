#include "models/catalog.h"

#include <fmt/format.h>

#include <set>

namespace switchyard::models {

Result<std::unordered_map<std::string, VersionRef>> make_name_table(
    const std::vector<ModelDefinition>& models) {
  std::unordered_map<std::string, VersionRef> names;
  for (const ModelDefinition& model : models) {
    if (model.id.empty()) return fail(ErrorCode::kInvalidArgument, "a model has an empty id");
    if (model.versions.empty()) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("model '{}' has no version", model.id));
    }
    std::set<std::string> versions;
    for (const engine::ModelSpec& spec : model.versions) {
      if (spec.version.empty() || !versions.insert(spec.version).second) {
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("model '{}' has the version '{}' twice", model.id, spec.version));
      }
    }
    const VersionRef newest{model.id, model.versions.back().version};
    if (!names.emplace(model.id, newest).second) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("two models are called '{}'", model.id));
    }
  }
  for (const ModelDefinition& model : models) {
    for (const std::string& name : model.extra_names) {
      if (name == model.id) continue;
      if (name.empty() || !names.emplace(name, VersionRef{model.id, model.versions.back().version}).second) {
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("the name '{}' of model '{}' is taken already", name, model.id));
      }
    }
  }
  return names;
}

}  // namespace switchyard::models
