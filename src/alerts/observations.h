#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "alerts/alert.h"
#include "alerts/window.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "telemetry/event_bus.h"

namespace switchyard::alerts {

/// What alerts want to know of a request once it is over.
struct RequestSample {
  std::string model;
  Duration queued{};                         ///< until it had its engine
  std::optional<Duration> first_token = {};  ///< from there; of streamed replies only
  bool failed = false;                       ///< by the server's fault
};

/// Shares that are read off the machine and the manager; no value where it cannot be told.
struct Gauges {
  std::optional<double> memory_used = {};
  std::optional<double> budget_reserved = {};
};

/// Keeps samples of everything that rules are about, for as long as a rule's window wants them. Any thread.
class Observations {
 public:
  explicit Observations(const Clock& clock) : clock_(clock) {}

  void request(const RequestSample& sample) EXCLUDES(mutex_);
  /// Loads and restarted engines ("state"), and switches ("alias").
  void event(const telemetry::Event& event) EXCLUDES(mutex_);
  void gauges(const Gauges& gauges) EXCLUDES(mutex_);

  /// The values of the rules that are on, where there are samples enough; forgets what no window wants.
  [[nodiscard]] std::vector<Reading> readings(const Rules& rules) EXCLUDES(mutex_);

 private:
  using Key = std::pair<Rule, std::string>;  ///< and the model, empty for none

  void add(Rule rule, const std::string& model, double value) REQUIRES(mutex_);
  void see_state(const telemetry::Event& event) REQUIRES(mutex_);

  const Clock& clock_;
  Mutex mutex_;
  std::map<Key, Window> windows_ GUARDED_BY(mutex_);
  struct Load {
    std::string model;
    TimePoint began;
  };
  std::map<std::string, Load> loads_ GUARDED_BY(mutex_);  ///< that run, by model@version
  std::set<std::string> broken_ GUARDED_BY(mutex_);       ///< engines, until the next one of theirs answers
};

}  // namespace switchyard::alerts
