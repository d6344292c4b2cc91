#include "engine/worker/workers.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace switchyard::engine::worker {

Result<std::unique_ptr<Engine>> Workers::load(const LoadOrder& order, std::unique_ptr<SlotStateKeeper> keeper,
                                              const std::function<void(const LoadProgress&)>& progress,
                                              const std::stop_token& stop) {
  const std::string name = order.spec.model + "@" + order.spec.version;
  const std::string key = name + '\n' + order.inspection.weights_key;
  std::shared_ptr<Worker> worker = find(key);
  // A new process has nothing to lose: a stop ends it at once, whatever the load is doing.
  std::optional<std::stop_callback<std::function<void()>>> end_new;
  if (worker == nullptr) {
    auto started = start_(name, order.spec.worker);
    if (!started) return std::unexpected(started.error());
    worker = std::move(*started);
    end_new.emplace(stop, [worker] { worker->kill(); });
    const MutexLock lock(mutex_);
    std::erase_if(workers_, [](const auto& known) { return known.second.expired(); });
    workers_[key] = worker;
  }
  auto engine = load_in(worker, order, std::move(keeper), progress, stop);
  if (!engine && stop.stop_requested())
    return fail(ErrorCode::kCancelled, fmt::format("the load of {} was cancelled", name));
  return engine;
}

std::shared_ptr<Worker> Workers::find(const std::string& key) {
  std::shared_ptr<Worker> worker;
  {
    const MutexLock lock(mutex_);
    if (const auto found = workers_.find(key); found != workers_.end()) worker = found->second.lock();
  }
  return worker != nullptr && worker->usable() ? worker : nullptr;
}

std::vector<std::shared_ptr<Worker>> Workers::living() const {
  std::vector<std::shared_ptr<Worker>> living;
  {
    const MutexLock lock(mutex_);
    for (const auto& [key, known] : workers_) {
      if (auto worker = known.lock()) living.push_back(std::move(worker));
    }
  }
  std::erase_if(living, [](const auto& worker) { return !worker->usable(); });
  return living;
}

}  // namespace switchyard::engine::worker
