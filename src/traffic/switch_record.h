#pragma once

#include <chrono>

#include "store/alias_store.h"
#include "traffic/types.h"

// A switch as it is kept and as it is told. Pure functions.

namespace switchyard::traffic {

[[nodiscard]] store::SwitchRow to_row(const SwitchReport& report);
[[nodiscard]] SwitchReport to_report(const store::SwitchRow& row);

/// "model@version" and back; empty for one that is none.
[[nodiscard]] std::string to_text(const models::VersionRef& ref);
[[nodiscard]] models::VersionRef to_ref(std::string_view text);

[[nodiscard]] double in_ms(Duration duration);

}  // namespace switchyard::traffic
