#pragma once

#include <string>

#include "cli/client.h"

namespace switchyard::cli {

/// The answer of GET /admin/v1/alerts for people. Pure.
[[nodiscard]] std::string alert_table(const Json& answer);

}  // namespace switchyard::cli
