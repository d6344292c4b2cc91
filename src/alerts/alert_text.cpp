#include "alerts/alert_text.h"

#include <fmt/format.h>

namespace switchyard::alerts {

std::string format_value(Unit unit, double value) {
  switch (unit) {
    case Unit::kSeconds: return fmt::format("{:.3g} s", value);
    case Unit::kRatio: return fmt::format("{:.4g} %", 100 * value);
    case Unit::kCount: return fmt::format("{:g}", value);
  }
  return {};
}

std::string describe(const Alert& alert) {
  const RuleInfo& info = info_of(alert.rule);
  const bool over = alert.phase == Phase::kResolved || alert.phase == Phase::kInactive;
  return fmt::format("{}{} {} {}, {} {}", alert.model.empty() ? std::string() : alert.model + ": ", info.what,
                     over ? "was" : "is", format_value(info.unit, alert.value),
                     info.fires == Fires::kAbove ? "above" : "below",
                     format_value(info.unit, alert.threshold));
}

}  // namespace switchyard::alerts
