#include "cli/reload.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>

#include "base/free_memory.h"
#include "config/new_version.h"
#include "telemetry/log.h"

namespace switchyard::cli {
namespace {

using Json = nlohmann::ordered_json;

bool same(const models::ModelDefinition& a, const models::ModelDefinition& b) {
  return a.versions == b.versions && a.extra_names == b.extra_names && a.tags == b.tags &&
         a.source == b.source && a.settings == b.settings;
}

const models::ModelDefinition* find(const config::Catalog& catalog, const std::string& id) {
  const auto found = std::ranges::find(catalog.models, id, &models::ModelDefinition::id);
  return found == catalog.models.end() ? nullptr : &*found;
}

Json changed_models(const config::Catalog& before, const config::Catalog& after) {
  Json added = Json::array(), changed = Json::array(), removed = Json::array();
  for (const auto& model : after.models) {
    const models::ModelDefinition* old = find(before, model.id);
    if (old == nullptr)
      added.push_back(model.id);
    else if (!same(*old, model))
      changed.push_back(model.id);
  }
  for (const auto& model : before.models) {
    if (find(after, model.id) == nullptr) removed.push_back(model.id);
  }
  return {{"added", added}, {"changed", changed}, {"removed", removed}};
}

struct Difference {
  const char* name;
  bool differs;
};

Json names_of(std::initializer_list<Difference> differences) {
  Json names = Json::array();
  for (const Difference& difference : differences) {
    if (difference.differs) names.push_back(difference.name);
  }
  return names;
}

Json changed_limits(const models::Limits& a, const models::Limits& b) {
  return names_of({{"models_max", a.models_max != b.models_max},
                   {"memory_budget", a.memory_budget != b.memory_budget},
                   {"device_budgets", a.device_budgets != b.device_budgets},
                   {"max_wait", a.max_wait != b.max_wait},
                   {"min_residency", a.min_residency != b.min_residency},
                   {"retry_backoff", a.retry_backoff_first != b.retry_backoff_first},
                   {"retry_backoff_max", a.retry_backoff_most != b.retry_backoff_most}});
}

/// What http::App::apply() and the end of the server see anew.
Json changed_settings(const config::Catalog& before, const config::Catalog& after) {
  const config::ServerSettings &a = before.server, &b = after.server;
  return names_of({{"default_model", before.default_model != after.default_model},
                   {"autoload", a.autoload != b.autoload},
                   {"api_keys", a.api_keys != b.api_keys},
                   {"admin_key_file", a.admin_key_file != b.admin_key_file || a.admin_keys != b.admin_keys},
                   {"cors_origins", a.cors_origins != b.cors_origins},
                   {"cors_methods", a.cors_methods != b.cors_methods},
                   {"cors_headers", a.cors_headers != b.cors_headers},
                   {"cors_credentials", a.cors_credentials != b.cors_credentials},
                   {"alerts", a.alerts != b.alerts},
                   {"shutdown_timeout", a.shutdown_timeout != b.shutdown_timeout},
                   {"max_queue_per_model", a.max_queue_per_model != b.max_queue_per_model},
                   {"max_queue", a.max_queue != b.max_queue},
                   {"slow_reader_timeout", a.slow_reader_timeout != b.slow_reader_timeout},
                   {"keep_slot_for", a.keep_slot_for != b.keep_slot_for},
                   {"shed_under_pressure", a.shed_under_pressure != b.shed_under_pressure},
                   {"conversations.shared", a.shared_conversations != b.shared_conversations},
                   {"allowed_dirs", a.allowed_dirs != b.allowed_dirs},
                   {"log", a.log_json != b.log_json || a.log_level != b.log_level ||
                               a.log_requests != b.log_requests || a.log_prompts != b.log_prompts}});
}

Json settings_for_the_next_start(const config::Catalog& started, const config::Catalog& after) {
  const config::ServerSettings &a = started.server, &b = after.server;
  return names_of({{"host", a.hosts != b.hosts},
                   {"port", a.port != b.port},
                   {"tls files", a.tls_key_file != b.tls_key_file || a.tls_cert_file != b.tls_cert_file},
                   {"api_prefix", a.api_prefix != b.api_prefix},
                   {"max_body", a.max_body != b.max_body},
                   {"max_bodies", a.max_bodies != b.max_bodies},
                   {"write_timeout", a.write_timeout != b.write_timeout},
                   {"max_calls", a.max_calls != b.max_calls},
                   {"data_dir", a.data_dir != b.data_dir},
                   {"conversations", started.limits.conversations != after.limits.conversations ||
                                         a.conversations_on_disk != b.conversations_on_disk},
                   {"cores", a.cores != b.cores},
                   {"watch", a.watch != b.watch},
                   {"restore_resident", a.restore_resident != b.restore_resident}});
}

}  // namespace

std::string describe_changes(const config::Catalog& started, const config::Catalog& before,
                             const config::Catalog& after) {
  const Json models = changed_models(before, after);
  const Json limits = changed_limits(before.limits, after.limits);
  const Json settings = changed_settings(before, after);
  const bool aliases = before.aliases != after.aliases;
  const bool any_model =
      std::ranges::any_of(models.items(), [](const auto& list) { return !list.value().empty(); });
  Json names = Json::array();
  for (const config::Alias& alias : after.aliases) {
    if (std::ranges::count(before.aliases, alias) == 0) names.push_back(alias.name);
  }
  for (const config::Alias& alias : before.aliases) {  // those that have gone
    if (std::ranges::count(after.aliases, alias.name, &config::Alias::name) == 0) names.push_back(alias.name);
  }
  const Json all = {{"changed", any_model || aliases || !limits.empty() || !settings.empty()},
                    {"models", models},
                    {"aliases", names},
                    {"limits", limits},
                    {"settings", settings},
                    {"needs_restart", settings_for_the_next_start(started, after)},
                    {"notes", after.notes}};
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Reloader::Reloader(Dependencies dependencies, config::Sources sources, config::Catalog current)
    : dependencies_(std::move(dependencies)),
      sources_(std::move(sources)),
      started_(config::without_models(current)),
      current_(std::move(current)) {}

Status Reloader::begin() {
  const MutexLock lock(mutex_);
  if (Status applied = apply(current_, models::Manager::Preload::kAll); !applied) return applied;
  keep(std::move(current_));
  return {};
}

void Reloader::keep(config::Catalog catalog) {
  std::map<std::string_view, std::shared_ptr<const models::ModelDefinition>> known;
  for (const models::ModelStatus& model : dependencies_.manager.list())
    known.emplace(model.definition->id, model.definition);
  models_.clear();
  for (models::ModelDefinition& model : catalog.models) {
    const auto had = known.find(model.id);
    const bool shared = had != known.end() && *had->second == model;
    models_.push_back(shared ? had->second
                             : std::make_shared<const models::ModelDefinition>(std::move(model)));
  }
  release(catalog.models);
  current_ = std::move(catalog);
  give_back_free_memory();  // a catalog in the making takes several times what it takes later
}

config::Catalog Reloader::current() const {
  config::Catalog catalog = current_;
  for (const auto& model : models_) catalog.models.push_back(*model);
  return catalog;
}

Status Reloader::apply(const config::Catalog& catalog, models::Manager::Preload preload) {
  auto merged = dependencies_.registry.apply(catalog.models, dependencies_.manager);
  if (!merged) return std::unexpected(merged.error());
  // The manager first: aliases may only point at what it has. One whose line changed is switched.
  if (const Status set = dependencies_.manager.set_catalog(merged->models, preload); !set) return set;
  const auto now = [&](const models::VersionRef& version) {
    const auto means = merged->means.find(version);
    return means == merged->means.end() ? version : means->second;
  };
  std::vector<traffic::Alias> aliases;
  std::vector<traffic::ShadowDefinition> shadows;
  for (const config::Alias& alias : catalog.aliases) {
    if (const auto& shadow = alias.shadow) {
      shadows.push_back({.alias = alias.name,
                         .to = now(shadow->to),
                         .plan = {.fraction = shadow->fraction,
                                  .similarity_model = shadow->similarity_model,
                                  .keep_replies = shadow->keep_replies,
                                  .beside_users = shadow->beside_users,
                                  .max_tokens = shadow->max_tokens}});
    }
    traffic::Alias& named = aliases.emplace_back(traffic::Alias{.name = alias.name,
                                                                .to = now(alias.to),
                                                                .defined = alias.to.to_string(),
                                                                .fallbacks = alias.fallbacks,
                                                                .split = {},
                                                                .sticky_header = alias.sticky_header});
    if (alias.split.empty()) continue;
    std::vector<traffic::Arm> as_written;
    for (const auto& [version, weight] : alias.split) {
      as_written.push_back({version, weight});
      named.split.push_back({now(version), weight});
    }
    named.defined = traffic::described(as_written, alias.sticky_header);
  }
  if (const Status defined = dependencies_.switcher.define(aliases, merged->successors); !defined)
    return defined;
  dependencies_.shadows.define(shadows);
  return {};
}

FileStamps Reloader::stamp() {
  const MutexLock lock(mutex_);
  return stamp_files(sources_, current());
}

Result<models::VersionRef> Reloader::add_version(const http::NewVersion& version) {
  const MutexLock lock(mutex_);
  const config::Catalog catalog = current();
  const models::ModelDefinition* model = find(catalog, version.model);
  if (model == nullptr) return fail(ErrorCode::kNotFound, "there is no model '" + version.model + "'");
  auto spec = config::make_version(
      sources_, catalog.server, *model,
      {.version = version.version, .file = version.file, .args = version.args, .sha256 = version.sha256});
  if (!spec) return std::unexpected(spec.error());
  spec->file_stamp = registry::file_stamp(spec->args.at("model"));
  const auto added = dependencies_.registry.add(std::move(*spec), version.notes, version.who);
  if (!added) return added;
  if (const Status applied = apply(catalog, models::Manager::Preload::kNone); !applied)
    return std::unexpected(applied.error());
  return added;
}

Status Reloader::remove_version(const models::VersionRef& version) {
  const MutexLock lock(mutex_);
  for (const traffic::Alias& name : dependencies_.switcher.names()) {
    if (!means(name, version)) continue;
    return fail(ErrorCode::kConflict,
                "'" + name.name + "' points at '" + version.to_string() + "': switch it first");
  }
  for (const traffic::ShadowStatus& shadow : dependencies_.shadows.list()) {
    if (!shadow.running || shadow.to != version) continue;
    return fail(ErrorCode::kConflict, "requests of '" + shadow.alias + "' are copied to '" +
                                          version.to_string() + "': end its shadow first");
  }
  const auto standing = dependencies_.manager.standing(version);
  if (standing && standing->leases > 0) {
    return fail(ErrorCode::kConflict, "'" + version.to_string() + "' is answering " +
                                          std::to_string(standing->leases) + " requests");
  }
  if (const Status removed = dependencies_.registry.remove(version); !removed) return removed;
  return apply(current(), models::Manager::Preload::kNone);
}

Result<std::string> Reloader::reload() {
  const MutexLock lock(mutex_);
  Result<config::Catalog> next = config::build_catalog(sources_);
  const auto refuse = [](Error error) {
    telemetry::log_error("config", "reload changed nothing: {}", error.to_string());
    return std::unexpected(std::move(error));
  };
  if (!next) return refuse(next.error());
  config::ServerSettings exposed = next->server;
  exposed.hosts = started_.server.hosts;  // it goes on listening there
  if (const Status closed = config::check_exposure(exposed, dependencies_.tenant_keys()); !closed)
    return refuse(closed.error());
  if (const Status loadable = dependencies_.manager.check(next->models); !loadable)
    return refuse(loadable.error());
  if (const Status applied = apply(*next, models::Manager::Preload::kAdded); !applied)
    return refuse(applied.error());
  models::Limits limits = next->limits;
  limits.conversations = dependencies_.manager.limits().conversations;  // as the store was made
  dependencies_.manager.set_limits(limits);
  dependencies_.apply_settings(*next);
  std::string changes = describe_changes(started_, current(), *next);
  telemetry::log_info("config", "reloaded: {}", changes);
  telemetry::Event event;
  event.type = "config";
  event.model = "*";
  event.text = {{"changes", changes}};
  dependencies_.events.publish(std::move(event));
  keep(std::move(*next));
  return changes;
}

}  // namespace switchyard::cli
