#include "library/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "engine/args.h"

namespace switchyard::library {

Result<engine::ModelSpec> make_spec(const ModelConfig& config) {
  if (config.id.empty() || config.version.empty() || config.id.contains('@') ||
      config.version.contains('@')) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("'{}@{}': a model needs an id and a version, both without '@'", config.id,
                            config.version));
  }
  std::error_code error;
  const auto file = std::filesystem::absolute(config.file, error);
  if (config.file.empty() || !std::filesystem::is_regular_file(file, error)) {
    return fail(ErrorCode::kNotFound, fmt::format("{}: there is no file '{}'", config.id, config.file));
  }
  engine::ModelSpec spec{.model = config.id,
                         .version = config.version,
                         .reply_name = config.id,
                         .args = {},
                         .sha256 = config.sha256};
  for (const auto& [key, value] : config.args) {
    auto arg = engine::canonical_arg(key, value);
    if (!arg) return std::unexpected(arg.error());
    if (arg->scope != engine::ArgScope::kModel) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}: '{}' is not an option of one model", config.id, key));
    }
    spec.args[arg->name] = arg->value;
  }
  spec.args["model"] = file.string();
  static_assert(static_cast<int>(Isolation::kProcess) == static_cast<int>(engine::Isolation::kProcess));
  spec.isolation = static_cast<engine::Isolation>(config.isolation);
  return spec;
}

void put_version(std::vector<models::ModelDefinition>& definitions, const ModelConfig& config,
                 engine::ModelSpec spec) {
  auto model = std::ranges::find(definitions, config.id, &models::ModelDefinition::id);
  if (model == definitions.end()) {
    models::ModelDefinition added;
    added.id = config.id;
    added.source = "config";
    model = definitions.insert(definitions.end(), std::move(added));
  }
  std::erase_if(model->versions,
                [&](const engine::ModelSpec& known) { return known.version == spec.version; });
  model->versions.push_back(std::move(spec));
  model->settings.pin = config.pin;
  model->settings.weight = config.weight;
  model->settings.park_after = config.park_after;
  model->settings.unload_after = config.unload_after;
}

ModelInfo to_info(const models::VersionStatus& status) {
  static_assert(static_cast<int>(ModelState::kFailed) == static_cast<int>(models::State::kFailed));
  ModelInfo info;
  info.id = status.ref.model;
  info.version = status.ref.version;
  info.state = static_cast<ModelState>(status.state);
  info.pinned = status.pinned;
  info.leases = status.leases;
  info.error = status.error;
  if (status.inspection) {
    for (const auto& item : status.inspection->need.items) info.memory += item.total();
    info.context = status.inspection->n_ctx;
  }
  return info;
}

SwitchRecord to_record(const traffic::SwitchReport& report) {
  const auto text = [](const models::VersionRef& ref) {
    return ref.model.empty() ? std::string() : ref.to_string();
  };
  SwitchRecord record;
  record.id = report.id;
  record.alias = report.alias;
  record.kind = to_string(report.kind);
  record.from = text(report.from);
  record.to = text(report.to);
  record.why = report.why;
  record.outcome = to_string(report.outcome);
  record.phase = to_string(report.phase);
  record.error = report.error;
  for (const auto& phase : report.phases) {
    record.phases.emplace_back(to_string(phase.phase),
                               std::chrono::duration_cast<std::chrono::microseconds>(phase.took));
  }
  record.started = report.started;
  record.ended = report.ended;
  return record;
}

}  // namespace switchyard::library
