#pragma once

#include <chrono>

#include "http/json.h"
#include "traffic/types.h"

// What /admin/v1/aliases says. Pure functions.

namespace switchyard::http {

[[nodiscard]] Json alias_json(const traffic::AliasStatus& status);
[[nodiscard]] Json switch_json(const traffic::SwitchReport& report);
[[nodiscard]] Json preview_json(const traffic::SwitchPreview& preview);
/// Null for none, which is 1970.
[[nodiscard]] Json time_json(std::chrono::system_clock::time_point time);
/// The HTTP status of a switch that did not come about.
[[nodiscard]] int status_of(const traffic::SwitchReport& report);

}  // namespace switchyard::http
