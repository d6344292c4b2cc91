#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "engine/api/engine.h"
#include "models/manager.h"
#include "switchyard/model_manager.h"
#include "telemetry/event_bus.h"

namespace switchyard::library {

/// What a ModelManager and its leases share; goes with the last of them. Any thread; see ModelManager
/// for what the methods do.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(std::unique_ptr<engine::EngineLoader> loader, const models::Limits& limits);

  Status add_model(const ModelConfig& config) EXCLUDES(catalog_mutex_, mutex_);
  Status load(std::string_view name, const LoadOptions& options) EXCLUDES(mutex_);
  Status unload(std::string_view name) EXCLUDES(mutex_);
  Status switch_model(std::string_view alias, std::string_view to, const LoadOptions& options) EXCLUDES(mutex_);
  Status park(std::string_view name) EXCLUDES(mutex_);
  Status resume(std::string_view name) EXCLUDES(mutex_);
  Status pin(std::string_view name, bool pinned) EXCLUDES(catalog_mutex_, mutex_);
  [[nodiscard]] std::vector<ModelInfo> list() const;
  [[nodiscard]] std::map<std::string, std::string> aliases() const EXCLUDES(mutex_);
  [[nodiscard]] Result<Lease> acquire(std::string_view name, std::stop_token stop) EXCLUDES(mutex_);

 private:
  /// Alias, id or `id@version`. Errors: kNotFound.
  [[nodiscard]] Result<models::VersionRef> resolve(std::string_view name) const EXCLUDES(mutex_);
  Status load(const models::VersionRef& ref, const LoadOptions& options) EXCLUDES(mutex_);
  /// Ends a load in progress unless somebody else waits for it.
  void cancel_unwanted_load(const models::VersionRef& ref) EXCLUDES(mutex_);
  /// Parks what an alias has left, in the background.
  void retire(const models::VersionRef& old) EXCLUDES(mutex_);

  // In the order in which they depend on each other.
  const std::unique_ptr<engine::EngineLoader> loader_;
  telemetry::EventBus events_;
  ThreadPool executor_{"models", 64};
  models::Manager manager_;

  Mutex catalog_mutex_;  ///< keeps changes of the catalog one after the other; taken before mutex_
  mutable Mutex mutex_;
  std::vector<models::ModelDefinition> definitions_ GUARDED_BY(mutex_);
  std::map<std::string, models::VersionRef, std::less<>> aliases_ GUARDED_BY(mutex_);
  std::map<models::VersionRef, int> load_calls_ GUARDED_BY(mutex_);  ///< load() calls that wait now
};

struct LeaseState {
  std::shared_ptr<Core> core;  ///< first, so that it goes last
  models::Lease lease;
  std::string name;
};

}  // namespace switchyard::library
