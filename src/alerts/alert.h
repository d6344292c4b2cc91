#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alerts/rule.h"

namespace switchyard::alerts {

/// What a rule's value is now. No value (nothing has happened in the window) is no reading.
struct Reading {
  Rule rule = Rule::kModelLoadTime;
  std::string model = {};  ///< empty where the rule is not per model
  double value = 0;
  bool operator==(const Reading&) const = default;
};

enum class Phase : std::uint8_t {
  kInactive,  ///< only told of: a pending one whose condition went away
  kPending,   ///< the condition holds, not for long enough yet
  kFiring,
  kResolved,  ///< it fired, and the condition holds no more; kept for an hour
};
[[nodiscard]] std::string_view to_string(Phase phase) noexcept;

struct Alert {
  Rule rule = Rule::kModelLoadTime;
  std::string model = {};
  Phase phase = Phase::kPending;
  double value = 0;  ///< the latest; of a resolved one the last that made it fire
  double threshold = 0;
  TimePoint since = {};  ///< the condition holds from here on
  std::optional<TimePoint> fired = {};
  std::optional<TimePoint> resolved = {};
  bool operator==(const Alert&) const = default;
};

struct Step {
  std::vector<Alert> alerts;   ///< all there are now, the resolved ones last, the newest of them first
  std::vector<Alert> changed;  ///< those that have come into their phase by this step
};

/// The next state of all alerts: a pure function. A rule that is off, or has no reading, has no
/// condition that could hold: what fired is resolved.
[[nodiscard]] Step next_alerts(const Rules& rules, std::span<const Reading> readings,
                               std::span<const Alert> before, TimePoint now);

}  // namespace switchyard::alerts
