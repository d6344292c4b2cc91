#pragma once

#include <string>

#include "alerts/monitor.h"

namespace switchyard::webhook {

/// JSON for one alert that fires or is resolved, in the shape of Alertmanager's webhook (version "4"), so
/// that what receives those receives ours: one group with one alert. Pure.
[[nodiscard]] std::string notification_body(const alerts::Notice& notice);

}  // namespace switchyard::webhook
