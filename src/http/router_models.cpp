#include "http/router_models.h"

#include <algorithm>
#include <set>

namespace switchyard::http {
namespace {

using models::State;

/// The command line that would load `args` in llama-server.
Json command_line(const engine::ArgMap& args) {
  Json words = Json::array({"llama-server"});
  for (const auto& [name, value] : args) {
    words.push_back("--" + name);
    words.push_back(value);
  }
  return words;
}

std::string ini_section(const std::string& name, const engine::ArgMap& args) {
  std::string text = "[" + name + "]\n";
  for (const auto& [key, value] : args) text += key + " = " + value + "\n";
  return text + "\n";
}

Json architecture(const models::VersionStatus& version) {
  Json inputs = Json::array({"text"});
  if (version.inspection && version.inspection->inp_vision) inputs.push_back("image");
  if (version.inspection && version.inspection->inp_audio) inputs.push_back("audio");
  return {{"input_modalities", std::move(inputs)}, {"output_modalities", Json::array({"text"})}};
}

const engine::ArgMap& args_of(const models::ModelStatus& model, const models::VersionStatus& version) {
  static const engine::ArgMap kNone;
  for (const auto& spec : model.definition->versions) {
    if (spec.version == version.ref.version) return spec.args;
  }
  return kNone;
}

/// Calls `use(model, version, id)` for each version with the id that requests use for it.
void for_each_version(const std::vector<models::ModelStatus>& models,
                      const std::vector<traffic::Alias>& names, const auto& use) {
  std::map<std::string_view, models::VersionRef> meant;
  for (const auto& name : names) meant[name.name] = name.to;
  for (const auto& model : models) {
    const auto means = meant.find(model.definition->id);
    for (auto version = model.versions.rbegin(); version != model.versions.rend(); ++version) {
      const bool is_default =
          means == meant.end() ? version == model.versions.rbegin() : version->ref == means->second;
      use(model, *version, is_default ? model.definition->id : version->ref.to_string());
    }
  }
}

std::string list_text(ArrayText data) {
  return R"({"data":)" + std::move(data).take() + R"(,"object":"list"})";
}

}  // namespace

std::string_view router_status(State state) {
  switch (state) {
    case State::kLoading:
    case State::kWarming: return "loading";
    case State::kHot:
    case State::kDraining:
    case State::kUnloading: return "loaded";
    case State::kParked: return "sleeping";
    case State::kCold:
    case State::kFailed: return "unloaded";
  }
  return "unloaded";
}

bool is_running(State state) { return router_status(state) != "unloaded"; }

Json router_entry(const models::ModelStatus& model, const models::VersionStatus& version,
                  const std::string& name, const std::vector<traffic::Alias>& aliases, std::int64_t now) {
  const engine::ArgMap& args = args_of(model, version);
  Json status = {{"value", router_status(version.state)},
                 {"args", command_line(args)},
                 {"preset", ini_section(name, args)}};
  if (version.state == State::kFailed) {
    status["failed"] = true;
    status["exit_code"] = 1;
  }
  std::set<std::string> names;
  if (name == model.definition->id)
    names.insert(model.definition->extra_names.begin(), model.definition->extra_names.end());
  for (const auto& alias : aliases) {
    if (alias.to == version.ref && alias.name != model.definition->id) names.insert(alias.name);
  }
  const std::set<std::string> tags(model.definition->tags.begin(), model.definition->tags.end());
  const bool cached = model.definition->source == "cache";
  Json entry = {
      {"id", name},
      {"aliases", names},
      {"tags", tags},
      {"object", "model"},
      {"owned_by", "llamacpp"},
      {"created", now},
      {"status", std::move(status)},
      {"architecture", architecture(version)},
      {"source", cached || model.definition->source == "models_dir" ? model.definition->source : "preset"},
      {"can_remove", cached}};
  if (is_running(version.state) && version.info_json != nullptr) {
    const Json info = Json::parse(*version.info_json, nullptr, false);
    if (info.is_object()) {
      for (const auto& [key, value] : info.items()) entry.emplace(key, value);
    }
  }
  return entry;
}

std::string router_list(const std::vector<models::ModelStatus>& models,
                        const std::vector<traffic::Alias>& names, const std::vector<Json>& further,
                        std::int64_t now) {
  ArrayText data;
  for_each_version(models, names, [&](const auto& model, const auto& version, const std::string& id) {
    data.add(router_entry(model, version, id, names, now));
  });
  for (const Json& entry : further) data.add(entry);
  return list_text(std::move(data));
}

std::string tenant_list(const std::vector<models::ModelStatus>& models,
                        const std::vector<traffic::Alias>& names, const std::vector<Json>& further,
                        const tenants::KeySettings& key, std::int64_t now) {
  const auto may = [&](const std::string& name) {
    return !key.aliases.contains(name) && tenants::may_ask_for(key, name);
  };
  ArrayText data;
  for_each_version(models, names, [&](const auto& model, const auto& version, const std::string& id) {
    const auto add = [&](const std::string& name) {
      Json entry = router_entry(model, version, name, names, now);
      Json known = Json::array();
      for (const Json& alias : entry["aliases"]) {
        if (name == id && may(alias)) known.push_back(alias);
      }
      entry["aliases"] = std::move(known);
      data.add(entry);
    };
    const bool by_id = may(id);
    if (by_id) add(id);
    for (const auto& name : names) {
      if (!by_id && name.to == version.ref && name.name != id && may(name.name)) add(name.name);
    }
    for (const auto& [own, target] : key.aliases) {
      const auto meant = std::ranges::find(names, target, &traffic::Alias::name);
      const bool is_it = target == id || target == version.ref.to_string() ||
                         (meant != names.end() && meant->to == version.ref);
      if (is_it) add(own);
    }
  });
  for (const Json& entry : further) data.add(entry);
  return list_text(std::move(data));
}

Json empty_list() { return {{"models", Json::array()}, {"object", "list"}, {"data", Json::array()}}; }

std::optional<Json> single_list(const models::ModelStatus& model, const models::VersionStatus& version,
                                std::int64_t now) {
  if (version.info_json == nullptr) return std::nullopt;
  Json info = Json::parse(*version.info_json, nullptr, false);
  if (!info.is_object()) return std::nullopt;
  const models::ModelDefinition& definition = *model.definition;
  const std::string name = info.value("id", version.ref.model);
  std::set<std::string> aliases = {name};
  // Without an alias the engine's name is the file's, and the further names are ours.
  if (name == definition.id) aliases.insert(definition.extra_names.begin(), definition.extra_names.end());
  info["aliases"] = aliases;
  info["tags"] = std::set(definition.tags.begin(), definition.tags.end());
  info["created"] = now;
  Json capabilities = Json::array({"completion"});
  if (version.inspection && (version.inspection->inp_vision || version.inspection->inp_audio)) {
    capabilities.push_back("multimodal");
  }
  // llama-server has no values for these either; Ollama's clients want to see the keys.
  const Json details = {{"parent_model", ""},   {"format", "gguf"},
                        {"family", ""},         {"families", Json::array({""})},
                        {"parameter_size", ""}, {"quantization_level", ""}};
  const Json entry = {{"name", name},
                      {"model", name},
                      {"modified_at", ""},
                      {"size", ""},
                      {"digest", ""},
                      {"type", "model"},
                      {"description", ""},
                      {"tags", Json::array({""})},
                      {"capabilities", std::move(capabilities)},
                      {"parameters", ""},
                      {"details", details}};
  return Json{{"models", Json::array({entry})}, {"object", "list"}, {"data", Json::array({info})}};
}

}  // namespace switchyard::http
