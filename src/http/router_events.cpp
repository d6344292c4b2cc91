#include "http/router_events.h"

#include <array>
#include <string_view>

#include "http/json.h"
#include "http/router_models.h"

namespace switchyard::http {
namespace {

constexpr std::array kStates{models::State::kCold,      models::State::kLoading,  models::State::kWarming,
                             models::State::kHot,       models::State::kDraining, models::State::kParked,
                             models::State::kUnloading, models::State::kFailed};

std::string text_of(const telemetry::Event& event, const char* key) {
  const auto it = event.text.find(key);
  return it == event.text.end() ? std::string() : it->second;
}

double number_of(const telemetry::Event& event, const char* key) {
  const auto it = event.numbers.find(key);
  return it == event.numbers.end() ? 0 : it->second;
}

std::string_view status_of_name(std::string_view name) {
  for (const auto state : kStates) {
    if (models::to_string(state) == name) return router_status(state);
  }
  return "unloaded";
}

/// The id under which the router's list shows the version: the bare one for the model's default.
std::string listed_name(const telemetry::Event& event, const models::ModelStatus* model) {
  const bool is_default = model == nullptr || event.version.empty() || model->versions.empty() ||
                          model->versions.back().ref.version == event.version;
  return is_default ? event.model : event.model + "@" + event.version;
}

std::string frame(std::string_view name, const std::string& model, const Json& data) {
  Json body = {{"model", model}, {"event", name}};
  if (!data.is_null()) body["data"] = data;
  return "data: " + to_text(body) + "\n\n";
}

Json info_of(const models::ModelStatus* model, const std::string& version) {
  if (model == nullptr) return nullptr;
  for (const auto& entry : model->versions) {
    if (entry.ref.version != version || entry.info_json == nullptr) continue;
    Json info = Json::parse(*entry.info_json, nullptr, false);
    if (info.is_object()) return info;
  }
  return nullptr;
}

std::optional<std::string> state_frame(const telemetry::Event& event, const models::ModelStatus* model) {
  const std::string to = text_of(event, "to");
  const auto before = status_of_name(text_of(event, "from"));
  const auto after = status_of_name(to);
  const std::string name = listed_name(event, model);
  if (to == to_string(models::State::kLoading)) return frame("model_status", name, {{"status", "loading"}});
  if (before == after && to != to_string(models::State::kFailed)) return std::nullopt;
  Json data = {{"status", after}};
  const bool load_failed = event.text.contains("error");
  if (after == "unloaded" || load_failed) data["exit_code"] = load_failed ? 1 : 0;
  if (after == "loaded") {
    if (Json info = info_of(model, event.version); !info.is_null()) data["info"] = std::move(info);
  }
  return frame("status_change", name, data);
}

Json stages_of(const telemetry::Event& event) {
  Json stages = Json::array();
  std::string_view rest;
  const std::string text = text_of(event, "stages");
  rest = text;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    stages.push_back(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  if (stages.empty()) stages.push_back(text_of(event, "stage"));
  return stages;
}

}  // namespace

std::optional<std::string> router_event_frame(const telemetry::Event& event, const Services& services) {
  if (event.type == "models_reload") return frame("models_reload", "*", nullptr);
  if (event.type == "download_progress") {
    Json files = Json::object();
    for (const auto& [url, file] : event.parts) {
      for (const auto& [name, bytes] : file) files[url][name] = static_cast<std::uint64_t>(bytes);
    }
    return frame(event.type, event.model, {{"progress", std::move(files)}});
  }
  if (event.type == "download_started")
    return frame("model_status", event.model, {{"status", "downloading"}});
  if (event.type == "download_finished" || event.type == "download_failed" || event.type == "model_remove") {
    return frame(event.type, event.model, nullptr);
  }
  if (event.type != "state" && event.type != "load_progress") return std::nullopt;
  const auto described = services.manager.describe(event.model);
  const models::ModelStatus* const model = described ? &*described : nullptr;
  if (event.type == "state") return state_frame(event, model);
  return frame("status_change", listed_name(event, model),
               {{"status", "loading"},
                {"progress",
                 {{"stages", stages_of(event)},
                  {"current", text_of(event, "stage")},
                  {"value", number_of(event, "progress")}}}});
}

}  // namespace switchyard::http
