#pragma once

#include <string>

#include "cli/client.h"

// Experiments for people. Pure.

namespace switchyard::cli {

/// The answer of GET /admin/v1/experiments.
[[nodiscard]] std::string experiments_table(const Json& answer);
/// One experiment: what is asked, and how it stands.
[[nodiscard]] std::string experiment_text(const Json& experiment);
/// The answer of GET /admin/v1/experiments/{id}/report: the same with its numbers.
[[nodiscard]] std::string experiment_report_text(const Json& report);

}  // namespace switchyard::cli
