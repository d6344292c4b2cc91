#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cli/file_watch.h"
#include "config/catalog.h"
#include "http/version_functions.h"
#include "models/manager.h"
#include "registry/registry.h"
#include "telemetry/event_bus.h"
#include "traffic/shadows.h"
#include "traffic/switcher.h"

namespace switchyard::cli {

/// Makes the catalog: what the files say, joined with the registry of versions; and makes it anew when
/// they change or a call adds or removes a version. Any thread; one change at a time, the others wait for
/// it. Reads files: blocks.
class Reloader {
 public:
  struct Dependencies {
    models::Manager& manager;
    traffic::Switcher& switcher;
    traffic::Shadows& shadows;
    registry::Registry& registry;
    telemetry::EventBus& events;
    std::function<config::TenantKeys()> tenant_keys;
    std::function<void(const config::Catalog&)> apply_settings;  ///< of the server, that need no restart
  };
  Reloader(Dependencies dependencies, config::Sources sources, config::Catalog current);

  /// The catalog of the start.
  [[nodiscard]] Status begin() EXCLUDES(mutex_);
  /// Says what changed as JSON. On an error nothing has changed.
  [[nodiscard]] Result<std::string> reload() EXCLUDES(mutex_);

  /// What the files that reload() would read look like now.
  [[nodiscard]] FileStamps stamp() EXCLUDES(mutex_);

  /// Registers a version and catalogues it. Errors: kNotFound (model, file), kConflict (it is there
  /// already), what config::make_version() says.
  [[nodiscard]] Result<models::VersionRef> add_version(const http::NewVersion& version) EXCLUDES(mutex_);
  /// Errors: kNotFound, kConflict while a name or a lease holds it or the config has it.
  [[nodiscard]] Status remove_version(const models::VersionRef& version) EXCLUDES(mutex_);

 private:
  /// Joins it with the registry and gives it to the manager and the switcher.
  Status apply(const config::Catalog& catalog, models::Manager::Preload preload) REQUIRES(mutex_);
  /// Keeps what was applied. Large catalogs are not held twice: a definition that the manager has
  /// unchanged is shared with it.
  void keep(config::Catalog catalog) REQUIRES(mutex_);
  /// What keep() was given.
  [[nodiscard]] config::Catalog current() const REQUIRES(mutex_);

  const Dependencies dependencies_;
  const config::Sources sources_;
  const config::Catalog started_;  ///< without its models
  Mutex mutex_;
  config::Catalog current_ GUARDED_BY(mutex_);  ///< without its models
  std::vector<std::shared_ptr<const models::ModelDefinition>> models_ GUARDED_BY(mutex_);  ///< current_'s
};

/// What differs, for people: the JSON that POST /admin/v1/config/reload answers. Of the server's settings
/// some hold at once; the others are listed as needing a restart for as long as they differ from those
/// that it `started` with, of which the models do not matter.
[[nodiscard]] std::string describe_changes(const config::Catalog& started, const config::Catalog& before,
                                           const config::Catalog& after);

}  // namespace switchyard::cli
