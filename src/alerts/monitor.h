#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "alerts/alert.h"
#include "alerts/observations.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "telemetry/event_bus.h"

namespace switchyard::alerts {

using WallTime = std::chrono::system_clock::time_point;

/// An alert as others see it: with times of the clock on the wall.
struct Notice {
  Alert alert;
  WallTime since = {};
  std::optional<WallTime> fired = {};
  std::optional<WallTime> resolved = {};
};

/// What became of notifications.
struct Delivery {
  std::uint64_t sent = 0;
  std::uint64_t failed = 0;   ///< given up
  std::uint64_t dropped = 0;  ///< there were too many
  std::size_t queued = 0;     ///< that being sent included
};

/// What there is to see at one moment.
struct Report {
  std::vector<Notice> alerts;  ///< pending and firing ones, then those resolved within the last hour
  std::vector<Reading> readings;
  Rules rules = default_rules();
  std::optional<Delivery> delivery = {};  ///< nothing where nobody is notified; Monitor leaves it out
};

/// Watches the rules: samples come in, evaluate() makes alerts of them and tells the event bus ("alert"),
/// the log and whoever is to be notified. Any thread; evaluate() from one.
class Monitor {
 public:
  struct Dependencies {
    telemetry::EventBus& events;  ///< listened to for loads, switches and restarts, and told of alerts
    std::function<Gauges()> gauges;
    /// Called for each alert that fires or is resolved. Must not block.
    std::function<void(const Notice&)> notify = {};
    const Clock& clock = Clock::steady();
    std::function<WallTime()> wall_clock = [] { return std::chrono::system_clock::now(); };
  };

  Monitor(Dependencies dependencies, const Rules& rules);

  void request(const RequestSample& sample) { observations_.request(sample); }
  void set_rules(const Rules& rules) EXCLUDES(mutex_);
  /// Once a second or so.
  void evaluate() EXCLUDES(mutex_);
  [[nodiscard]] Report report() const EXCLUDES(mutex_);

 private:
  [[nodiscard]] Notice notice_of(const Alert& alert) const;
  void tell(const Notice& notice) const;

  const Dependencies dependencies_;
  Observations observations_;
  mutable Mutex mutex_;
  Rules rules_ GUARDED_BY(mutex_);
  std::vector<Alert> alerts_ GUARDED_BY(mutex_);
  std::vector<Reading> readings_ GUARDED_BY(mutex_);
  telemetry::EventBus::Subscription subscription_;  // last: ends before what it uses
};

}  // namespace switchyard::alerts
