#pragma once

#include <string>

#include "alerts/alert.h"

namespace switchyard::alerts {

/// "1.25 s", "81.3 %", "3".
[[nodiscard]] std::string format_value(Unit unit, double value);

/// One sentence for people: "smollm2: the time to the first token (p95) is 1.4 s, above 1 s".
[[nodiscard]] std::string describe(const Alert& alert);

}  // namespace switchyard::alerts
