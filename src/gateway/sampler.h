#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "models/manager.h"
#include "telemetry/event_bus.h"

namespace switchyard::gateway {

/// Keeps what the engines count, over their unloads and reloads, so that a scrape asks no engine. Any thread.
class Sampler {
 public:
  Sampler(models::Manager& manager, telemetry::EventBus& events);

  /// Reads the counters of an engine that the caller has leased; waits a few milliseconds at most
  /// and keeps what was known when it does not answer.
  void read(const models::VersionRef& version, engine::Engine& engine);
  /// Reads the engines of these versions, those that are hot; waits up to a quarter second for each.
  /// Moves the averages' window on.
  void read_all(const std::vector<models::VersionRef>& versions);

  struct Totals {
    engine::EngineSample counted;         ///< since this process began
    double prompt_tokens_per_second = 0;  ///< of processing time, in the last window
    double predicted_tokens_per_second = 0;
  };
  /// By model id.
  [[nodiscard]] std::map<std::string, Totals> totals() const;

 private:
  struct Entry {
    engine::EngineSample before;        ///< of the engines that are gone
    engine::EngineSample current;       ///< of the living one
    engine::EngineSample window_start;  ///< before + current at the last read_all()
    double prompt_rate = 0;
    double predicted_rate = 0;
  };

  void store(const models::VersionRef& version, const engine::EngineSample& sample);
  void on_event(const telemetry::Event& event);

  models::Manager& manager_;
  mutable Mutex mutex_;
  std::map<models::VersionRef, Entry> entries_ GUARDED_BY(mutex_);
  telemetry::EventBus::Subscription subscription_;  // last: ends before what it uses
};

}  // namespace switchyard::gateway
