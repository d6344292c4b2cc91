#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "experiments/svg_plot.h"
#include "experiments/trial.h"

namespace switchyard::experiments {

/// An experiment as it is seen at one moment.
struct Report {
  std::shared_ptr<const Trial> trial;  ///< never null
  Verdict verdict;                     ///< as it stands, or stood when it was decided
};

/// What a metric is in its experiment.
enum class Role : std::uint8_t {
  kPrimary,
  kGuardrail,
  kOther,  ///< nothing is decided by it; its interval is as sure as the primary one's
};
[[nodiscard]] std::string_view to_string(Role role);

/// One arm by one metric, as a whole (no segment) or within a segment. Nothing is decided by segments: with
/// many of them one is sure to look good.
struct ReportRow {
  std::string segment = {};
  std::size_t arm = 0;
  std::int64_t assigned = 0, requests = 0;
  Metric metric = Metric::kLatency;
  Role role = Role::kOther;
  std::int64_t observations = 0;
  double mean = 0;                            ///< in the metric's unit
  std::optional<Comparison> comparison = {};  ///< with the control; of variants
};

// Pure functions.

/// Of all metrics that have observations, the whole first; the primary metric and guardrails always.
[[nodiscard]] std::vector<ReportRow> rows_of(const Report& report);
/// The same as a CSV file with a header (RFC 4180).
[[nodiscard]] std::string csv_of(const Report& report);
/// The primary metric's difference over the observations, with its confidence sequence, zero and the verdict.
[[nodiscard]] Plot plot_of(const Report& report);

}  // namespace switchyard::experiments
