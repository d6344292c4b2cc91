#include "http/admin_json.h"

#include <fmt/format.h>

#include <chrono>

#include "http/errors.h"
#include "http/time_text.h"

namespace switchyard::http {
namespace {

Json optional_seconds(const std::optional<Duration>& duration) {
  return duration ? Json(seconds(*duration)) : Json(nullptr);
}

Json predicted_bytes(const engine::MemoryNeed& need) {
  Json devices = Json::array();
  for (const auto& item : need.items) {
    devices.push_back({{"device", item.device},
                       {"weights_mapped", item.weights_mapped.bytes()},
                       {"weights_private", item.weights_private.bytes()},
                       {"context", item.context.bytes()},
                       {"compute", item.compute.bytes()},
                       {"vocabulary", item.vocabulary.bytes()},
                       {"prompt_cache", item.prompt_cache.bytes()},
                       {"total", item.total().bytes()}});
  }
  return devices;
}

Json error_json(const std::optional<Error>& error) {
  if (!error) return nullptr;
  return {{"code", to_string(error->code)}, {"message", error->message}, {"cause", error->cause}};
}

Json progress_json(const std::optional<engine::LoadProgress>& progress) {
  if (!progress) return nullptr;
  return {{"stage", progress->stage}, {"stages", progress->stages}, {"value", progress->value}};
}

/// The same for all versions.
const char* isolation_of(const models::ModelDefinition& model) {
  const bool apart =
      !model.versions.empty() && model.versions.back().isolation == engine::Isolation::kProcess;
  return apart ? "process" : "none";
}

void add_inspection(Json& json, const engine::Inspection& inspection) {
  json["n_ctx"] = inspection.n_ctx;
  json["n_ctx_train"] = inspection.n_ctx_train;
  json["n_slots"] = inspection.n_slots;
  json["n_layers"] = inspection.n_layers;
  json["n_params"] = inspection.n_params;
  json["file_size"] = inspection.file_size.bytes();
  json["architecture"] = inspection.architecture;
  json["input_modalities"] = Json::array({"text"});
  if (inspection.inp_vision) json["input_modalities"].push_back("image");
  if (inspection.inp_audio) json["input_modalities"].push_back("audio");
  json["predicted_bytes"] = predicted_bytes(inspection.need);
}

}  // namespace

std::string_view residency_of(models::State state) {
  switch (state) {
    case models::State::kHot:
    case models::State::kDraining: return "hot";
    case models::State::kParked: return "parked";
    default: return "cold";
  }
}

Json admin_version(const models::ModelStatus& model, const models::VersionStatus& version,
                   const Verdicts& verdicts) {
  const auto verdict = verdicts.find(version.ref);
  Json json = {{"version", version.ref.version},
               {"id", version.ref.to_string()},
               {"state", to_string(version.state)},
               {"residency", residency_of(version.state)},
               {"pinned", version.pinned},
               {"preload", version.preload},
               {"leases", version.leases},
               {"waiting", version.waiting},
               {"idle_seconds", optional_seconds(version.idle_for)},
               {"last_load_seconds", optional_seconds(version.last_load_time)},
               {"health", to_string(verdict == verdicts.end() ? health::Health::kUnknown : verdict->second)},
               {"quarantined", version.quarantined},
               {"lost_bytes", version.lost.bytes()},
               {"error", error_json(version.error)},
               {"progress", progress_json(version.progress)}};
  for (const auto& spec : model.definition->versions) {
    if (spec.version != version.ref.version) continue;
    json["args"] = spec.args;
    json["sha256"] = spec.sha256.empty() ? Json(nullptr) : Json(spec.sha256);
  }
  if (version.inspection) {
    add_inspection(json, *version.inspection);
    json["resolved_args"] = version.inspection->resolved_args;
  }
  return json;
}

Json admin_model(const models::ModelStatus& model, const Verdicts& verdicts) {
  const auto& settings = model.definition->settings;
  Json versions = Json::array();
  bool pinned = settings.pin;
  for (const auto& version : model.versions) {
    pinned |= version.pinned;
    versions.push_back(admin_version(model, version, verdicts));
  }
  return {{"id", model.definition->id},
          {"source", model.definition->source},
          {"names", model.definition->extra_names},
          {"tags", model.definition->tags},
          {"pinned", pinned},
          {"preload", settings.preload},
          {"weight", settings.weight},
          {"park_after_seconds", optional_seconds(settings.park_after)},
          {"unload_after_seconds", optional_seconds(settings.unload_after)},
          {"drain_timeout_seconds", seconds(settings.drain_timeout)},
          {"isolation", isolation_of(*model.definition)},
          {"versions", std::move(versions)}};
}

std::string admin_event_frame(const telemetry::Event& event) {
  Json data = {{"id", event.id},
               {"at", time_text(event.at)},
               {"type", event.type},
               {"model", event.model},
               {"version", event.version}};
  for (const auto& [key, value] : event.text) data.emplace(key, value);
  for (const auto& [key, value] : event.numbers) data.emplace(key, value);
  for (const auto& [key, values] : event.parts) data["parts"][key] = values;
  return fmt::format("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.type, to_text(data));
}

}  // namespace switchyard::http
