#include "alerts/alert.h"

#include <algorithm>

namespace switchyard::alerts {
namespace {

constexpr Duration kKeepResolved = std::chrono::hours(1);
constexpr std::size_t kMostResolved = 100;

bool holds(const RuleSettings& settings, const Reading& reading) {
  if (settings.off) return false;
  return info_of(reading.rule).fires == Fires::kAbove ? reading.value > settings.threshold
                                                      : reading.value < settings.threshold;
}

bool is_resolved(const Alert& alert) { return alert.phase == Phase::kResolved; }

const Alert* find_active(std::span<const Alert> alerts, const Reading& reading) {
  const auto found = std::ranges::find_if(alerts, [&](const Alert& alert) {
    return !is_resolved(alert) && alert.rule == reading.rule && alert.model == reading.model;
  });
  return found == alerts.end() ? nullptr : &*found;
}

/// The alert of a condition that holds.
Alert continued(const Alert* before, const Reading& reading, const RuleSettings& settings, TimePoint now) {
  Alert alert =
      before != nullptr
          ? *before
          : Alert{.rule = reading.rule, .model = reading.model, .phase = Phase::kInactive, .since = now};
  alert.value = reading.value;
  alert.threshold = settings.threshold;
  if (alert.phase == Phase::kFiring) return alert;
  const bool long_enough = now - alert.since >= settings.hold;
  alert.phase = long_enough ? Phase::kFiring : Phase::kPending;
  if (long_enough) alert.fired = now;
  return alert;
}

}  // namespace

std::string_view to_string(Phase phase) noexcept {
  switch (phase) {
    case Phase::kInactive: return "inactive";
    case Phase::kPending: return "pending";
    case Phase::kFiring: return "firing";
    case Phase::kResolved: return "resolved";
  }
  return "inactive";
}

Step next_alerts(const Rules& rules, std::span<const Reading> readings, std::span<const Alert> before,
                 TimePoint now) {
  Step step;
  for (const Reading& reading : readings) {
    const RuleSettings& settings = settings_of(rules, reading.rule);
    if (!holds(settings, reading)) continue;
    const Alert* const was = find_active(before, reading);
    step.alerts.push_back(continued(was, reading, settings, now));
    if (was == nullptr || was->phase != step.alerts.back().phase) step.changed.push_back(step.alerts.back());
  }
  std::vector<Alert> resolved;
  for (const Alert& alert : before) {
    if (is_resolved(alert)) {
      if (now - *alert.resolved < kKeepResolved) resolved.push_back(alert);
      continue;
    }
    if (find_active(step.alerts, {.rule = alert.rule, .model = alert.model}) != nullptr) continue;
    Alert ended = alert;
    ended.phase = alert.phase == Phase::kFiring ? Phase::kResolved : Phase::kInactive;
    if (ended.phase == Phase::kResolved) {
      ended.resolved = now;
      resolved.insert(resolved.begin(), ended);
    }
    step.changed.push_back(ended);
  }
  if (resolved.size() > kMostResolved) resolved.resize(kMostResolved);
  step.alerts.insert(step.alerts.end(), resolved.begin(), resolved.end());
  return step;
}

}  // namespace switchyard::alerts
