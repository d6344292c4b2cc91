#include "alerts/monitor.h"

#include <utility>

#include "alerts/alert_text.h"
#include "telemetry/log.h"

namespace switchyard::alerts {

Monitor::Monitor(Dependencies dependencies, const Rules& rules)
    : dependencies_(std::move(dependencies)),
      observations_(dependencies_.clock),
      rules_(rules),
      subscription_(dependencies_.events.subscribe(
          [this](const telemetry::Event& event) { observations_.event(event); })) {}

void Monitor::set_rules(const Rules& rules) {
  const MutexLock lock(mutex_);
  rules_ = rules;
}

void Monitor::evaluate() {
  observations_.gauges(dependencies_.gauges());
  std::vector<Alert> changed;
  {
    const MutexLock lock(mutex_);
    readings_ = observations_.readings(rules_);
    Step step = next_alerts(rules_, readings_, alerts_, dependencies_.clock.now());
    alerts_ = std::move(step.alerts);
    changed = std::move(step.changed);
  }
  for (const Alert& alert : changed) tell(notice_of(alert));
}

Report Monitor::report() const {
  Report report;
  const MutexLock lock(mutex_);
  report.rules = rules_;
  report.readings = readings_;
  for (const Alert& alert : alerts_) report.alerts.push_back(notice_of(alert));
  return report;
}

Notice Monitor::notice_of(const Alert& alert) const {
  const TimePoint now = dependencies_.clock.now();
  const auto on_the_wall = [now, wall = dependencies_.wall_clock()](TimePoint time) {
    return wall - std::chrono::duration_cast<WallTime::duration>(now - time);
  };
  Notice notice{.alert = alert, .since = on_the_wall(alert.since)};
  if (alert.fired) notice.fired = on_the_wall(*alert.fired);
  if (alert.resolved) notice.resolved = on_the_wall(*alert.resolved);
  return notice;
}

void Monitor::tell(const Notice& notice) const {
  const Alert& alert = notice.alert;
  const RuleInfo& info = info_of(alert.rule);
  const std::string summary = describe(alert);
  telemetry::Event event;
  event.type = "alert";
  event.model = alert.model.empty() ? "*" : alert.model;
  event.text = {{"rule", std::string(info.name)},
                {"state", std::string(to_string(alert.phase))},
                {"severity", std::string(to_string(info.severity))},
                {"summary", summary}};
  event.numbers = {{"value", alert.value}, {"threshold", alert.threshold}};
  dependencies_.events.publish(std::move(event));
  if (alert.phase == Phase::kFiring) {
    telemetry::log_warning("alerts", "{} fires: {}", info.name, summary);
  } else if (alert.phase == Phase::kResolved) {
    telemetry::log_info("alerts", "{} is resolved: {}", info.name, summary);
  } else {
    return;
  }
  if (dependencies_.notify) dependencies_.notify(notice);
}

}  // namespace switchyard::alerts
