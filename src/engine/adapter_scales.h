#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "engine/api/engine.h"

namespace switchyard::engine {

/// What was set of LoRA adapters by POST /lora-adapters: a model that was parked or reloaded comes back as it
/// was left. Any thread.
class AdapterScales {
 public:
  /// The engine, as its version's adapters were set last; what will be set is noted. The result must not
  /// outlive this. An engine without adapters is given back as it is.
  [[nodiscard]] std::unique_ptr<Engine> keep(std::unique_ptr<Engine> engine, const ModelSpec& spec)
      EXCLUDES(mutex_);
  /// Of a version that is no longer catalogued.
  void forget(const std::string& model, const std::string& version) EXCLUDES(mutex_);

  /// For the engines that keep() has made.
  void note(const std::string& key, std::string body) EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  std::map<std::string, std::string> bodies_ GUARDED_BY(mutex_);  ///< by version and its adapters
};

}  // namespace switchyard::engine
