#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "engine/api/process_routes.h"
#include "engine/worker/remote_engine.h"

namespace switchyard::engine::worker {

/// The workers of one server: a version has its own, for as long as something of it is in memory. Any thread.
class Workers {
 public:
  using Start = std::function<Result<std::shared_ptr<Worker>>(const std::string& name, const WorkerLimits&)>;
  explicit Workers(Start start) : start_(std::move(start)) {}

  /// Loads in the worker that holds the version's weights, or in a new one: see EngineLoader::load.
  [[nodiscard]] Result<std::unique_ptr<Engine>> load(const LoadOrder& order,
                                                     std::unique_ptr<SlotStateKeeper> keeper,
                                                     const std::function<void(const LoadProgress&)>& progress,
                                                     const std::stop_token& stop) EXCLUDES(mutex_);
  [[nodiscard]] std::vector<std::shared_ptr<Worker>> living() const EXCLUDES(mutex_);

 private:
  [[nodiscard]] std::shared_ptr<Worker> find(const std::string& key) EXCLUDES(mutex_);

  const Start start_;
  mutable Mutex mutex_;
  std::map<std::string, std::weak_ptr<Worker>> workers_ GUARDED_BY(mutex_);  // by version and weights
};

/// The handlers of resumable streams of this process and of all workers together: a stream is where the
/// request ran that made it. `workers` must outlive it.
[[nodiscard]] std::unique_ptr<ProcessRoutes> make_shared_routes(std::unique_ptr<ProcessRoutes> own,
                                                                const Workers& workers);

}  // namespace switchyard::engine::worker
