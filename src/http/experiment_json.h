#pragma once

#include "experiments/recorder.h"
#include "http/json.h"

// What /admin/v1/experiments says. Pure functions.

namespace switchyard::http {

/// One experiment in short: its definition, its state and its verdict.
[[nodiscard]] Json experiment_json(const experiments::Report& report);
/// The same with all numbers.
[[nodiscard]] Json report_json(const experiments::Report& report, const experiments::Losses& losses);
[[nodiscard]] Json losses_json(const experiments::Losses& losses);

}  // namespace switchyard::http
