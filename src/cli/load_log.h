#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "telemetry/event_bus.h"

namespace switchyard::cli {

/// What the log says of loads: that one begins, every two seconds how far it is, and with which
/// context and layers it ended. Any thread.
class LoadLog {
 public:
  using Line = std::function<void(const std::string&)>;

  LoadLog(telemetry::EventBus& events, Line line, const Clock& clock = Clock::steady());

 private:
  void on_event(const telemetry::Event& event) EXCLUDES(mutex_);

  const Line line_;
  const Clock& clock_;
  Mutex mutex_;
  std::map<std::string, TimePoint> told_
      GUARDED_BY(mutex_);                           // of those that load: when they were last told of
  telemetry::EventBus::Subscription subscription_;  // last: ends before what it uses
};

}  // namespace switchyard::cli
