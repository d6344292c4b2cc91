#include "config/model_merge.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "engine/args.h"
#include "engine/download.h"

namespace switchyard::config {
namespace {

using engine::ArgMap;

// Options that name one model and are nothing for all of them.
constexpr const char* kNaming[] = {"model", "hf-repo", "hf-file", "alias", "tags"};
// Options that become a model's settings instead of llama.cpp's.
constexpr const char* kSettings[] = {
    "alias", "tags", "load-on-startup", "stop-timeout", "dedup-cache-models", "sleep-idle-seconds"};

void overlay(ArgMap& args, const ArgMap& above) {
  for (const auto& [name, value] : above) args[name] = value;
}

void add_names(std::vector<std::string>& names, const ArgMap& args, const char* option) {
  const auto found = args.find(option);
  if (found == args.end()) return;
  const std::string& list = found->second;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::size_t first = std::min(list.find_first_not_of(' ', begin), end);
    std::size_t last = end;
    while (last > first && list[last - 1] == ' ') --last;
    std::string name = list.substr(first, last - first);
    if (!name.empty() && std::ranges::count(names, name) == 0) names.push_back(std::move(name));
    begin = end + 1;
  }
}

/// Settings that llama-server has as options.
void apply_options(models::ModelSettings& settings, const ArgMap& args) {
  if (const auto found = args.find("load-on-startup"); found != args.end())
    settings.preload = is_true(found->second);
  if (const auto found = args.find("stop-timeout"); found != args.end()) {
    settings.drain_timeout = std::chrono::seconds(std::max(0, std::atoi(found->second.c_str())));
  }
  if (const auto found = args.find("sleep-idle-seconds"); found != args.end()) {
    const int seconds = std::atoi(found->second.c_str());
    settings.park_after = seconds > 0 ? std::optional<Duration>(std::chrono::seconds(seconds)) : std::nullopt;
  }
}

void apply_health(models::HealthSettings& settings, const SettingsSection::Health& section) {
  settings.interval = section.interval.value_or(settings.interval);
  settings.healthy = section.healthy.value_or(settings.healthy);
  settings.degraded = section.degraded.value_or(settings.degraded);
  settings.failures = section.failures.value_or(settings.failures);
  settings.stuck_after = section.stuck_after.value_or(settings.stuck_after);
  settings.quarantine_after = section.quarantine_after.value_or(settings.quarantine_after);
  settings.backoff = section.backoff.value_or(settings.backoff);
  settings.backoff_max = section.backoff_max.value_or(settings.backoff_max);
}

std::optional<Duration> idle_time(Duration written) {
  return written == kNever ? std::nullopt : std::optional(written);
}

void apply_section(models::ModelSettings& settings, const SettingsSection& section) {
  settings.pin = section.pin.value_or(settings.pin);
  settings.preload = section.preload.value_or(settings.preload);
  if (section.park_after) settings.park_after = idle_time(*section.park_after);
  if (section.unload_after) settings.unload_after = idle_time(*section.unload_after);
  settings.weight = section.weight.value_or(settings.weight);
  settings.drain_timeout = section.drain_timeout.value_or(settings.drain_timeout);
  apply_health(settings.health, section.health);
}

/// Lowest first, as merge() has the options.
models::ModelSettings merge_settings(const ModelPlan& plan, const Layers& layers) {
  models::ModelSettings settings;
  apply_options(settings, layers.environment);
  apply_options(settings, layers.ini_common);
  apply_options(settings, layers.yaml_defaults.args);
  apply_section(settings, layers.yaml_defaults.settings);
  apply_options(settings, plan.found);
  apply_options(settings, plan.ini);
  if (plan.section) {
    apply_options(settings, plan.section->args);
    for (const VersionSection& version : plan.section->versions) apply_options(settings, version.args);
    apply_section(settings, plan.section->settings);
  }
  apply_options(settings, layers.command_line);
  apply_options(settings, plan.own);
  return settings;
}

std::string absolute(const std::string& path) {
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::absolute(path, error);
  return error ? path : whole.lexically_normal().string();
}

/// A repository stands for its files in the cache; where they are not, it stays and the load says so.
void resolve_repository(ArgMap& args) {
  const auto repo = args.find("hf-repo");
  if (repo == args.end() || args.contains("model")) return;
  const auto file = args.find("hf-file");
  const Result<ArgMap> cached =
      engine::cached_model_args(repo->second, file == args.end() ? std::string() : file->second);
  if (!cached) return;
  for (const auto& [name, value] : *cached) args.emplace(name, value);
}

/// All options of one version; `version` is null for a model without versions of its own.
ArgMap merge(const ModelPlan& plan, const Layers& layers, const VersionSection* version) {
  ArgMap args = layers.environment;
  overlay(args, layers.ini_common);
  overlay(args, layers.yaml_defaults.args);
  overlay(args, plan.found);
  overlay(args, plan.ini);
  if (plan.section) {
    overlay(args, plan.section->args);
    if (!plan.section->file.empty()) args["model"] = plan.section->file;
  }
  if (version != nullptr) {
    overlay(args, version->args);
    if (!version->file.empty()) args["model"] = version->file;
  }
  overlay(args, layers.command_line);
  overlay(args, plan.own);
  resolve_repository(args);
  if (const auto model = args.find("model"); model != args.end()) {
    model->second = absolute(model->second);
    args.erase("hf-repo");
    args.erase("hf-file");
  }
  return args;
}

/// Tells a file from the one that replaces it under the same path; empty while there is none.
std::string file_stamp(const ArgMap& args) {
  const auto model = args.find("model");
  struct stat st = {};
  if (model == args.end() || ::stat(model->second.c_str(), &st) != 0) return {};
  return fmt::format("{}:{}.{:09}:{}", st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ino);
}

engine::ModelSpec make_spec(const ModelPlan& plan, ArgMap args, std::string version, std::string sha256) {
  for (const char* name : kSettings) args.erase(name);
  std::erase_if(args,
                [](const auto& arg) { return engine::scope_of(arg.first) != engine::ArgScope::kModel; });
  std::string stamp = file_stamp(args);
  return {.model = plan.id,
          .version = std::move(version),
          .reply_name = plan.id,
          .args = std::move(args),
          .sha256 = std::move(sha256),
          .file_stamp = std::move(stamp)};
}

/// Where its engines live. What a model says of itself counts more than the command line's default.
void place(const ModelPlan& plan, const Layers& layers, engine::ModelSpec& spec) {
  apply(layers.yaml_defaults.isolation, spec);
  apply(IsolationSection{.isolation = layers.isolation}, spec);
  if (plan.section) apply(plan.section->isolation, spec);
}

}  // namespace

bool is_true(const std::string& value) {
  return value == "on" || value == "enabled" || value == "true" || value == "1";
}

ArgMap model_args(const ArgMap& level) {
  ArgMap args;
  for (const auto& [name, value] : level) {
    if (engine::scope_of(name) == engine::ArgScope::kModel) args.emplace(name, value);
  }
  for (const char* name : kNaming) args.erase(name);
  return args;
}

Result<models::ModelDefinition> build_model(const ModelPlan& plan, const Layers& layers) {
  models::ModelDefinition model;
  model.id = plan.id;
  model.source = plan.source;
  const ModelSection* section = plan.section ? &*plan.section : nullptr;

  std::vector<ArgMap> all;
  if (section == nullptr || section->versions.empty()) {
    all.push_back(merge(plan, layers, nullptr));
    model.versions.push_back(make_spec(plan, all.back(), "1", section == nullptr ? "" : section->sha256));
  } else {
    for (const VersionSection& version : section->versions) {
      all.push_back(merge(plan, layers, &version));
      model.versions.push_back(make_spec(plan, all.back(), version.version, version.sha256));
    }
  }
  for (const engine::ModelSpec& spec : model.versions) {
    if (spec.args.contains("model") || spec.args.contains("hf-repo")) continue;
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("model '{}' has no file; give 'file' (or a model of this name in the models folder)",
                    plan.id));
  }

  if (section != nullptr) {
    model.extra_names = section->names;
    model.tags = section->tags;
  }
  for (const ArgMap* args : std::initializer_list<const ArgMap*>{&plan.ini, &all.back()}) {
    add_names(model.extra_names, *args, "alias");
    add_names(model.tags, *args, "tags");
  }
  for (const std::string& name : plan.folder_names) {
    if (std::ranges::count(model.extra_names, name) == 0) model.extra_names.push_back(name);
  }
  if (!plan.is_alone) std::erase(model.extra_names, model.id);

  model.settings = merge_settings(plan, layers);
  for (engine::ModelSpec& spec : model.versions) place(plan, layers, spec);
  return model;
}

std::string missing_file(const engine::ModelSpec& spec) {
  const auto model = spec.args.find("model");
  if (model == spec.args.end()) {
    const std::string& repo = spec.args.at("hf-repo");
    return fmt::format("model '{}': '{}' is not in the cache; fetch it with `switchyard pull {}`", spec.model,
                       repo, repo);
  }
  std::error_code error;
  if (std::filesystem::is_regular_file(model->second, error)) return {};
  if (std::filesystem::exists(model->second, error)) {
    return fmt::format("model '{}': {} is no regular file; requests for it will fail", spec.model,
                       model->second);
  }
  return fmt::format("model '{}': file {} is missing; requests for it will fail", spec.model, model->second);
}

}  // namespace switchyard::config
