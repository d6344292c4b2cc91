#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>

#include "base/mutex.h"
#include "engine/api/engine.h"
#include "engine/in_process_engine.h"
#include "engine/slot_state.h"
#include "store/inspection_cache.h"

namespace switchyard::engine {

/// Makes engines in this process, and remembers what their loads have taught. Needs a started bridge. Any
/// thread, several at once.
class LocalEngines {
 public:
  /// `learnt`, where given, must outlive it: what a context can do is found out once for all starts.
  explicit LocalEngines(store::InspectionCache* learnt = nullptr) : learnt_(learnt) {}
  /// See EngineLoader::load. `keeper`, where given, keeps the engine's conversations; for
  /// `on_failed` see InProcessEngine::load.
  [[nodiscard]] Result<std::unique_ptr<Engine>> load(const ModelSpec& spec, const Inspection& inspection,
                                                     std::unique_ptr<SlotStateKeeper> keeper,
                                                     const std::function<void(const LoadProgress&)>& progress,
                                                     InProcessEngine::OnFailed on_failed,
                                                     const std::stop_token& stop) EXCLUDES(mutex_);

 private:
  /// Serialises what llama.cpp does not lock on weights that several engines share: LoRA adapters
  /// live in an unlocked set of the llama_model, so loads and frees of one weights_key take turns.
  [[nodiscard]] std::shared_ptr<Mutex> turn(const std::string& weights_key) EXCLUDES(mutex_);
  [[nodiscard]] InProcessEngine::Experience known(const std::string& key) EXCLUDES(mutex_);
  void remember(const std::string& key, InProcessEngine::Experience experience) EXCLUDES(mutex_);

  store::InspectionCache* const learnt_;
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<Mutex>> turns_ GUARDED_BY(mutex_);
  std::map<std::string, InProcessEngine::Experience> experience_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::engine
