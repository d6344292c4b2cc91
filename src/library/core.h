#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "engine/api/engine.h"
#include "models/manager.h"
#include "store/state_database.h"
#include "switchyard/model_manager.h"
#include "telemetry/event_bus.h"
#include "traffic/switcher.h"

namespace switchyard::library {

/// What a ModelManager and its leases share; goes with the last of them. Any thread; see ModelManager
/// for what the methods do.
class Core : public std::enable_shared_from_this<Core> {
 public:
  /// `state_path` as of store::StateDatabase.
  Core(std::unique_ptr<engine::EngineLoader> loader, const models::Limits& limits,
       const std::string& state_path = {});

  Status add_model(const ModelConfig& config) EXCLUDES(catalog_mutex_, mutex_);
  Status load(std::string_view name, const LoadOptions& options) EXCLUDES(mutex_);
  Status unload(std::string_view name);
  Status switch_model(std::string_view alias, std::string_view to, const SwitchOptions& options);
  Status rollback(std::string_view alias, const SwitchOptions& options);
  [[nodiscard]] Result<std::vector<SwitchRecord>> history(std::string_view alias, std::size_t limit) const;
  Status park(std::string_view name);
  Status resume(std::string_view name);
  Status pin(std::string_view name, bool pinned) EXCLUDES(catalog_mutex_, mutex_);
  [[nodiscard]] std::vector<ModelInfo> list() const;
  [[nodiscard]] std::map<std::string, std::string> aliases() const;
  [[nodiscard]] Result<Lease> acquire(std::string_view name, std::stop_token stop);

 private:
  Status load(const models::VersionRef& ref, const LoadOptions& options) EXCLUDES(mutex_);
  /// Ends a load in progress unless somebody else waits for it.
  void cancel_unwanted_load(const models::VersionRef& ref) EXCLUDES(mutex_);
  [[nodiscard]] Result<models::VersionRef> route(const std::string& name, const std::stop_token& stop);
  Status move(traffic::SwitchRequest request, const SwitchOptions& options);
  telemetry::EventBus::Subscription watch_load(const LoadOptions& options,
                                               std::function<bool(const models::VersionRef&)> is_it);

  /// load() calls of one version.
  struct LoadCalls {
    std::uint32_t wanted = 0;      ///< still want it
    std::uint32_t unanswered = 0;  ///< the manager has yet to answer, cancelled ones included
  };

  Mutex catalog_mutex_;  ///< keeps changes of models and aliases one after the other; taken before mutex_
  mutable Mutex mutex_;
  std::vector<models::ModelDefinition> definitions_ GUARDED_BY(mutex_);
  std::map<models::VersionRef, LoadCalls> load_calls_ GUARDED_BY(mutex_);

  // In the order in which they depend on each other; what they call back into is above.
  const std::unique_ptr<engine::EngineLoader> loader_;
  store::StateDatabase state_;
  telemetry::EventBus events_;
  ThreadPool executor_{"models", 64};
  models::Manager manager_;
  traffic::Switcher switcher_;
};

struct LeaseState {
  std::shared_ptr<Core> core;  ///< first, so that it goes last
  models::Lease lease;
  std::string name;
};

}  // namespace switchyard::library
