#include "config/catalog.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>

#include "base/host_memory.h"
#include "base/nearest.h"
#include "config/file_options.h"
#include "config/model_merge.h"
#include "engine/args.h"
#include "engine/download.h"

namespace switchyard::config {
namespace {

using engine::ArgMap;

constexpr double kRounding = 1e-6;  ///< of weights that add up to 100

/// Unset: as much as an engine's own prompt cache takes.
Result<ByteSize> conversations_in_memory(const ConversationsSection& yaml, ByteSize memory_budget) {
  const ByteSize unset = std::min(ByteSize::mib(256), ByteSize(memory_budget.bytes() / 16));
  const ByteSize chosen = yaml.memory.value_or(unset);
  if (chosen < memory_budget) return chosen;
  return fail(
      ErrorCode::kInvalidArgument,
      fmt::format("conversations.memory is {} and leaves nothing of the memory budget of {} for models",
                  chosen.to_string(), memory_budget.to_string()));
}

models::Limits build_limits(const Sources& sources, const LimitsSection& yaml) {
  models::Limits limits;
  limits.memory_budget =
      sources.own.memory_budget.value_or(yaml.memory_budget.value_or(default_memory_budget()));
  limits.device_budgets = yaml.device_budgets;
  limits.models_max = yaml.models_max.value_or(limits.models_max);
  const auto number = [](const std::string& text) {  // llama-server: 0 and below is no limit
    return static_cast<std::uint32_t>(std::max(0, std::atoi(text.c_str())));
  };
  if (const auto given = sources.command_line.find("models-max"); given != sources.command_line.end()) {
    limits.models_max = number(given->second);
  } else if (const auto variable = sources.environment.find("models-max");
             !yaml.models_max && variable != sources.environment.end()) {
    limits.models_max = number(variable->second);
  }
  limits.max_wait = yaml.max_wait.value_or(limits.max_wait);
  limits.min_residency = yaml.min_residency;
  limits.retry_backoff_first = yaml.retry_backoff.value_or(limits.retry_backoff_first);
  limits.retry_backoff_most = yaml.retry_backoff_max.value_or(limits.retry_backoff_most);
  return limits;
}

bool names_single_model(const ArgMap& args) { return args.contains("model") || args.contains("hf-repo"); }

/// The level that makes this a one-model server; null for a catalog. The environment's model counts
/// only where nothing on the command line or in the file asks for a catalog.
const ArgMap* single_model_level(const Sources& sources) {
  if (names_single_model(sources.command_line)) return &sources.command_line;
  const bool catalog = sources.command_line.contains("models-dir") ||
                       sources.command_line.contains("models-preset") || !sources.own.config_path.empty();
  return !catalog && names_single_model(sources.environment) ? &sources.environment : nullptr;
}

Result<models::ModelDefinition> build_single_model(const ArgMap& level, const Sources& sources,
                                                   const Layers& layers) {
  ModelPlan plan;
  plan.source = "config";
  for (const char* name : {"model", "hf-repo", "hf-file"}) {
    if (const auto found = level.find(name); found != level.end()) plan.own.insert(*found);
  }
  for (const ArgMap* args : {&sources.command_line, &sources.environment}) {
    for (const char* name : {"alias", "tags"}) {
      if (const auto found = args->find(name); found != args->end()) plan.own.insert(*found);
    }
  }
  std::string file;
  if (const auto model = level.find("model"); model != level.end()) {
    file = std::filesystem::path(model->second).filename();
  } else {
    plan.id = level.at("hf-repo");
  }
  if (plan.id.empty()) plan.id = file.ends_with(".gguf") ? file.substr(0, file.size() - 5) : file;
  plan.is_alone = true;
  Result<models::ModelDefinition> built = build_model(plan, layers);
  if (!built) return built;
  // llama-server replies with the first alias by the alphabet, or else with -m as it was given.
  engine::ModelSpec& spec = built->versions.front();
  if (!built->extra_names.empty()) {
    const auto first = std::ranges::min_element(built->extra_names);
    built->id = *first;
    built->extra_names.erase(first);
    spec.model = spec.reply_name = built->id;
  } else if (const auto given = level.find("model"); given != level.end()) {
    spec.reply_name = given->second;
    for (const std::string& name : {file, given->second}) {
      if (name != built->id && std::ranges::count(built->extra_names, name) == 0)
        built->extra_names.push_back(name);
    }
  }
  built->settings.preload = true;
  return built;
}

/// What folders, presets and the cache say, before the YAML file's own models.
struct Found {
  std::map<std::string, ModelPlan> plans;
  std::vector<std::string> notes;
  ArgMap ini_common;
};

/// A cache that this user may not read is a note: nobody has asked for it.
void find_cached(Found& found) {
  Result<std::map<std::string, ArgMap>> cached = engine::cached_models();
  if (!cached) {
    found.notes.push_back(cached.error().to_string() + "; models from there are left out");
    return;
  }
  for (auto& [name, args] : *cached) {
    found.plans[name] = ModelPlan{.id = name, .source = "cache", .found = std::move(args)};
  }
}

/// Hides cached models whose file a preset with dedup-cache-models uses, as llama-server's router does.
void hide_duplicates(Found& found) {
  std::set<std::string> used;
  for (const auto& [id, plan] : found.plans) {
    const auto dedup = plan.ini.find("dedup-cache-models");
    const auto repo = plan.ini.find("hf-repo");
    if (dedup == plan.ini.end() || repo == plan.ini.end() || !is_true(dedup->second)) continue;
    if (const Result<ArgMap> args = engine::cached_model_args(repo->second)) used.insert(args->at("model"));
  }
  std::erase_if(found.plans, [&](const auto& entry) {
    const ModelPlan& plan = entry.second;
    return plan.source == "cache" && used.contains(plan.found.at("model"));
  });
}

/// One sentence for each entry of the models folder that is no model though it may have been meant as one.
std::vector<std::string> left_out(const std::string& dir, const std::map<std::string, ArgMap>& models) {
  namespace fs = std::filesystem;
  std::vector<std::string> notes;
  std::error_code error;
  for (fs::directory_iterator at(dir, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    std::error_code unreadable;
    const fs::file_type type = at->status(unreadable).type();
    std::string why;
    if (unreadable)
      why = unreadable.message();
    else if (type == fs::file_type::directory && !models.contains(name) && !name.starts_with('.'))
      why = "no GGUF file of a model is in it";
    else if (type != fs::file_type::directory && type != fs::file_type::regular)
      why = "it is no regular file";
    if (!why.empty()) notes.push_back(fmt::format("models folder: {} is left out: {}", name, why));
  }
  std::ranges::sort(notes);
  return notes;
}

Result<Found> find_models(const ServerSettings& server) {
  Found found;
  find_cached(found);
  if (!server.models_dir.empty()) {
    Result<std::map<std::string, ArgMap>> folder = engine::scan_models_dir(server.models_dir);
    if (!folder) return std::unexpected(folder.error());
    std::ranges::move(left_out(server.models_dir, *folder), std::back_inserter(found.notes));
    for (auto& [id, args] : *folder) {
      found.plans[id] = ModelPlan{.id = id, .source = "models_dir", .found = std::move(args)};
    }
  }
  if (!server.models_preset.empty()) {
    Result<engine::IniPresets> presets = engine::load_ini_presets(server.models_preset);
    if (!presets) return std::unexpected(presets.error());
    found.notes.insert(found.notes.end(), presets->notes.begin(), presets->notes.end());
    for (auto& [id, args] : presets->sections) {
      if (id == "*") {
        found.ini_common = std::move(args);
        continue;
      }
      ModelPlan& plan = found.plans[id];
      plan.id = id;
      plan.source = "preset";
      plan.ini = std::move(args);
    }
    hide_duplicates(found);
  }
  return found;
}

/// The file of one version as an absolute path: in the models folder, beside the YAML file, or - where
/// it is nowhere - the first of these, so that the error names a place.
std::string locate(const std::string& file, const std::string& models_dir, const std::string& config_path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::path(file).is_absolute()) return fs::path(file).lexically_normal();
  const fs::path in_folder = fs::absolute(fs::path(models_dir) / file, error).lexically_normal();
  if (!models_dir.empty() && fs::exists(in_folder, error)) return in_folder;
  const fs::path near = fs::absolute(config_path, error).parent_path().append(file).lexically_normal();
  return models_dir.empty() || fs::exists(near, error) ? near : in_folder;
}

/// Joins one YAML model with what was found under its id. A file of the models folder that it names
/// brings its projector and draft, and its own entry becomes a further name of the model.
void add_yaml_model(Found& found, const ModelSection& section, const ServerSettings& server,
                    const ConfigFile& file) {
  ModelSection resolved = section;
  const auto resolve = [&](std::string& path) {
    if (!path.empty()) path = locate(path, server.models_dir, file.path);
  };
  resolve(resolved.file);
  for (VersionSection& version : resolved.versions) resolve(version.file);

  ArgMap companions;
  std::vector<std::string> folder_names;
  const auto names_file = [&](const std::string& path) {
    return path == resolved.file || std::ranges::count(resolved.versions, path, &VersionSection::file) > 0;
  };
  std::erase_if(found.plans, [&](const auto& entry) {
    const ModelPlan& plan = entry.second;
    if (plan.source != "models_dir" || plan.id == section.id || plan.section) return false;
    if (!names_file(plan.found.at("model"))) return false;
    folder_names.push_back(plan.id);
    companions = plan.found;
    return true;
  });
  ModelPlan& plan = found.plans[section.id];
  plan.id = section.id;
  plan.source = "config";
  if (plan.found.empty()) {
    companions.erase("model");
    plan.found = std::move(companions);
  }
  plan.section = std::move(resolved);
  plan.folder_names = std::move(folder_names);
}

/// Public names that stand for more than one thing, and aliases that stand for nothing.
Status check_names(const Catalog& catalog) {
  std::map<std::string, std::string> owners;
  for (const models::ModelDefinition& model : catalog.models) {
    std::vector<std::string> names = model.extra_names;
    names.push_back(model.id);
    for (const std::string& name : names) {
      const auto [owner, is_new] = owners.emplace(name, model.id);
      if (!is_new && owner->second != model.id) {
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("the name '{}' is given to both model '{}' and model '{}'", name,
                                owner->second, model.id));
      }
    }
  }
  for (const Alias& alias : catalog.aliases) {
    if (!owners.contains(alias.name)) continue;
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("alias '{}' is already a name of model '{}'", alias.name, owners[alias.name]));
  }
  return {};
}

/// What `name`, `name@version` means in the catalog; null version is the model's last one.
Result<models::VersionRef> find_version(const Catalog& catalog, const std::string& to) {
  for (const models::ModelDefinition& model : catalog.models) {  // a name may have an '@' of its own
    if (model.id == to || std::ranges::count(model.extra_names, to) > 0)
      return models::VersionRef{model.id, model.versions.back().version};
  }
  const std::size_t at = to.rfind('@');
  const std::string name = to.substr(0, at);
  std::vector<std::string> known;
  for (const models::ModelDefinition& model : catalog.models) {
    known.push_back(model.id);
    if (at == std::string::npos || (model.id != name && std::ranges::count(model.extra_names, name) == 0))
      continue;
    std::vector<std::string> versions;
    for (const engine::ModelSpec& spec : model.versions) {
      if (spec.version == to.substr(at + 1)) return models::VersionRef{model.id, spec.version};
      versions.push_back(spec.version);
    }
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("model '{}' has no version '{}'; it has: {}", model.id, to.substr(at + 1),
                            fmt::join(versions, ", ")));
  }
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("no model '{}'{}", name, did_you_mean_or_known(name, known)));
}

/// The shadow of an alias that is complete but for that.
Result<AliasShadow> shadow_of(const Catalog& catalog, const ShadowSection& section, const Alias& alias) {
  if (section.to.empty()) return fail(ErrorCode::kInvalidArgument, "its shadow needs a 'to'");
  Result<models::VersionRef> to = find_version(catalog, section.to);
  if (!to) return fail(to.error().code, "its shadow: " + to.error().message);
  if (alias.split.empty() && *to == alias.to) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("its shadow is '{}', which it means already", to->to_string()));
  }
  AliasShadow shadow{.to = *std::move(to), .similarity_model = section.similarity_model};
  shadow.fraction = section.fraction.value_or(shadow.fraction);
  const bool is_fraction = shadow.fraction > 0 && shadow.fraction <= 1;
  if (!is_fraction) {
    return fail(
        ErrorCode::kInvalidArgument,
        "the 'fraction' of its shadow must be above 0 and at most 1, as in 0.1 for every tenth request");
  }
  if (!shadow.similarity_model.empty()) {
    if (const auto found = find_version(catalog, shadow.similarity_model); !found)
      return fail(found.error().code, "the 'similarity_model' of its shadow: " + found.error().message);
  }
  shadow.keep_replies = section.keep_replies.value_or(false);
  shadow.beside_users = section.beside_users.value_or(false);
  shadow.max_tokens = section.max_tokens.value_or(0);
  return shadow;
}

Status add_aliases(Catalog& catalog, const ConfigFile& file) {
  std::vector<std::string> problems;
  for (const AliasSection& section : file.aliases) {
    Alias alias{.name = section.name, .to = {}, .fallbacks = section.fallbacks};
    alias.sticky_header = section.sticky.header;
    const auto problem = [&](const std::string& what) {
      problems.push_back(fmt::format("{}:{}: alias '{}': {}", file.path, section.line, section.name, what));
    };
    double sum = 0;
    for (const ArmSection& arm : section.split) {
      Result<models::VersionRef> to = find_version(catalog, arm.to);
      if (!to) {
        problem(to.error().message);
        continue;
      }
      const double weight = arm.weight.value_or(-1);
      const bool is_share = weight >= 0 && weight <= 100;
      if (!is_share) problem(fmt::format("the weight of '{}' must be a number from 0 to 100", arm.to));
      if (std::ranges::count(alias.split, *to, &std::pair<models::VersionRef, double>::first) > 0)
        problem(fmt::format("'{}' is in the split twice", to->to_string()));
      sum += weight;
      alias.split.emplace_back(*std::move(to), weight);
    }
    if (!section.split.empty() && std::abs(sum - 100) > kRounding)
      problem(fmt::format("the weights add up to {:g}; they must add up to 100", sum));
    for (const std::string& fallback : section.fallbacks) {
      if (const auto found = find_version(catalog, fallback); !found) {
        problems.push_back(fmt::format("{}:{}: fallback of alias '{}': {}", file.path, section.line,
                                       section.name, found.error().message));
      }
    }
    if (!alias.split.empty()) alias.to = alias.split.front().first;
    if (section.split.empty()) {
      Result<models::VersionRef> to = find_version(catalog, section.to);
      if (to)
        alias.to = *std::move(to);
      else
        problem(to.error().message);
    }
    if (section.shadow) {
      auto shadow = shadow_of(catalog, *section.shadow, alias);
      if (shadow)
        alias.shadow = *std::move(shadow);
      else
        problem(shadow.error().message);
    }
    catalog.aliases.push_back(std::move(alias));
  }
  const auto is_alias = [&](const Alias& alias) { return alias.name == catalog.server.default_model; };
  if (const std::string& name = catalog.server.default_model;
      !name.empty() && std::ranges::none_of(catalog.aliases, is_alias)) {
    const Result<models::VersionRef> to = find_version(catalog, name);
    const std::string where = file.server.default_model_line > 0
                                  ? fmt::format("{}:{}", file.path, file.server.default_model_line)
                                  : "command line";
    if (!to) problems.push_back(fmt::format("{}: default model: {}", where, to.error().message));
  }
  if (problems.empty()) return {};
  return fail(ErrorCode::kInvalidArgument, fmt::format("{}", fmt::join(problems, "\n")));
}

/// Whether all files of a model lie where they may.
Status check_model_files(const models::ModelDefinition& model, const ServerSettings& server) {
  for (const engine::ModelSpec& spec : model.versions) {
    if (Status inside = check_files(spec.args, server.allowed_dirs); !inside) return inside;
  }
  return {};
}

Status add_models(Catalog& catalog, const ConfigFile& file, Layers layers) {
  Result<Found> found = find_models(catalog.server);
  if (!found) return std::unexpected(found.error());
  layers.ini_common = found->ini_common;
  catalog.notes = found->notes;
  for (const ModelSection& section : file.models) add_yaml_model(*found, section, catalog.server, file);
  std::vector<std::string> problems;
  for (const auto& [id, plan] : found->plans) {
    Result<models::ModelDefinition> model = build_model(plan, layers);
    const bool named = plan.section.has_value() || plan.source == "preset";
    if (const Status inside = model ? check_model_files(*model, catalog.server) : Status(); !inside) {
      if (!named) {  // found in a folder or the cache
        catalog.notes.push_back(fmt::format("model '{}' is left out: {}", id, inside.error().message));
        continue;
      }
      model = std::unexpected(inside.error());
    }
    if (!model) {
      const std::string where = plan.section ? fmt::format("{}:{}: ", file.path, plan.section->line)
                                : plan.source == "preset"
                                    ? fmt::format("{}: section [{}]: ", catalog.server.models_preset, id)
                                    : "";
      problems.push_back(where + model.error().message);
      continue;
    }
    for (const engine::ModelSpec& spec : model->versions) {
      if (const std::string note = missing_file(spec); !note.empty()) catalog.notes.push_back(note);
    }
    catalog.models.push_back(std::move(*model));
  }
  if (problems.empty()) return {};
  return fail(ErrorCode::kInvalidArgument, fmt::format("{}", fmt::join(problems, "\n")));
}

}  // namespace

RemoteModel single_remote_model(const Sources& sources) {
  const ArgMap* level = single_model_level(sources);
  if (level == nullptr || level->contains("model") || !level->contains("hf-repo")) return {};
  const auto file = level->find("hf-file");
  return {level->at("hf-repo"), file == level->end() ? std::string() : file->second};
}

Catalog without_models(const Catalog& catalog) {
  return {.server = catalog.server,
          .limits = catalog.limits,
          .models = {},
          .aliases = {},
          .default_model = catalog.default_model,
          .single_model = catalog.single_model,
          .notes = {}};
}

Result<Catalog> build_catalog(const Sources& given) {
  Sources sources = given;
  if (names_single_model(sources.command_line)) {  // a lower level's catalog does not stand against -m
    sources.environment.erase("models-dir");
    sources.environment.erase("models-preset");
  }
  ConfigFile file;
  if (!sources.own.config_path.empty()) {
    Result<ConfigFile> loaded = load_config_file(sources.own.config_path);
    if (!loaded) return std::unexpected(loaded.error());
    file = std::move(*loaded);
  }
  Catalog catalog;
  Result<ServerSettings> server = build_server_settings(sources, file);
  if (!server) return std::unexpected(server.error());
  catalog.server = std::move(*server);
  catalog.limits = build_limits(sources, file.limits);
  const Result<ByteSize> kept = conversations_in_memory(file.conversations, catalog.limits.memory_budget);
  if (!kept) return std::unexpected(kept.error());
  catalog.limits.conversations = *kept;

  Layers layers{.command_line = model_args(sources.command_line),
                .yaml_defaults = file.defaults,
                .ini_common = {},
                .environment = model_args(sources.environment),
                .isolation = sources.own.isolation};
  if (const ArgMap* level = single_model_level(sources)) {
    if (!catalog.server.models_dir.empty() || !catalog.server.models_preset.empty() || !file.models.empty()) {
      return fail(
          ErrorCode::kInvalidArgument,
          "-m (or -hf) makes a server of one model; leave it out, or --models-dir, --models-preset and the "
          "config file's models");
    }
    catalog.single_model = true;
    Result<models::ModelDefinition> model = build_single_model(*level, sources, layers);
    if (!model) return std::unexpected(model.error());
    if (const Status inside = check_model_files(*model, catalog.server); !inside)
      return std::unexpected(inside.error());
    if (const std::string missing = missing_file(model->versions.front()); !missing.empty())
      return fail(ErrorCode::kNotFound, missing);
    catalog.models.push_back(std::move(*model));
    if (catalog.server.watch > Duration::zero()) {
      catalog.notes.emplace_back(
          "--watch sees nothing with -m (or -hf): the file is read once; use --models-dir to have changes "
          "seen");
    }
  } else {
    if (sources.command_line.contains("alias")) {
      return fail(ErrorCode::kInvalidArgument,
                  "--alias names one model; give names per model in the config or preset");
    }
    if (const Status added = add_models(catalog, file, std::move(layers)); !added)
      return std::unexpected(added.error());
  }
  if (const Status added = add_aliases(catalog, file); !added) return std::unexpected(added.error());
  if (const Status named = check_names(catalog); !named) return std::unexpected(named.error());
  catalog.default_model = catalog.server.default_model;
  if (catalog.default_model.empty() && catalog.models.size() == 1)
    catalog.default_model = catalog.models.front().id;
  return catalog;
}

}  // namespace switchyard::config
