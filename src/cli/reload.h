#pragma once

#include <string>

#include "base/mutex.h"
#include "config/catalog.h"
#include "models/manager.h"
#include "telemetry/event_bus.h"
#include "traffic/switcher.h"

namespace switchyard::cli {

/// Applies what differs between the catalog as it is now and as its files say. Any thread; one
/// reload at a time, the others wait for it. Reads files: blocks.
class Reloader {
 public:
  struct Dependencies {
    models::Manager& manager;
    traffic::Switcher& switcher;
    telemetry::EventBus& events;
  };
  Reloader(Dependencies dependencies, config::Sources sources, config::Catalog current);

  /// Says what changed as JSON. On an error nothing has changed.
  [[nodiscard]] Result<std::string> reload() EXCLUDES(mutex_);

 private:
  Status apply_aliases(const config::Catalog& next) REQUIRES(mutex_);

  const Dependencies dependencies_;
  const config::Sources sources_;
  Mutex mutex_;
  config::Catalog current_ GUARDED_BY(mutex_);
};

/// What differs, for people: the JSON that POST /admin/v1/config/reload answers. Settings of the
/// whole server need a restart and are listed as such.
[[nodiscard]] std::string describe_changes(const config::Catalog& before, const config::Catalog& after);

/// The aliases after a reload: as configured, but one whose line did not change stays where it was
/// switched to, and one that changed waits for its switch where it was, as long as that is catalogued.
struct AliasPlan {
  std::vector<traffic::Alias> now;
  std::vector<traffic::Alias> switch_to;
};
[[nodiscard]] AliasPlan plan_aliases(const std::vector<config::Alias>& before,
                                     const std::vector<traffic::Alias>& live, const config::Catalog& after);

}  // namespace switchyard::cli
