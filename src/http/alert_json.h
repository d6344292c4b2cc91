#pragma once

#include "alerts/monitor.h"
#include "http/json.h"

namespace switchyard::http {

/// As GET /admin/v1/alerts shows it.
[[nodiscard]] Json alerts_json(const alerts::Report& report);

}  // namespace switchyard::http
