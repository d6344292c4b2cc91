#include "experiments/metric.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/nearest.h"

namespace switchyard::experiments {
namespace {

constexpr double kLeast = 1e-6;

}  // namespace

const std::array<MetricInfo, kMetricCount>& metric_table() {
  static constexpr std::array<MetricInfo, kMetricCount> kTable{{
      {Metric::kLatency, "latency", "time of a whole reply", "s", Scale::kLogarithm, Better::kLower},
      {Metric::kFirstToken, "ttft", "time to the first token", "s", Scale::kLogarithm, Better::kLower},
      {Metric::kTokensPerSecond, "tokens_per_second", "tokens per second", "1/s", Scale::kLogarithm,
       Better::kHigher},
      {Metric::kErrorRate, "error_rate", "share of failed requests", "", Scale::kShare, Better::kLower},
      {Metric::kScore, "score", "feedback score", "", Scale::kPlain, Better::kHigher},
      {Metric::kConversion, "conversion", "share of conversions", "", Scale::kShare, Better::kHigher},
  }};
  return kTable;
}

const MetricInfo& info_of(Metric metric) { return metric_table().at(static_cast<std::size_t>(metric)); }

Result<Metric> parse_metric(std::string_view name) {
  std::vector<std::string> names;
  for (const MetricInfo& info : metric_table()) {
    if (info.name == name) return info.metric;
    names.emplace_back(info.name);
  }
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("there is no metric '{}'{}", name, did_you_mean_or_known(name, names)));
}

std::string_view to_string(Better better) { return better == Better::kLower ? "lower" : "higher"; }

std::optional<double> compared(Metric metric, double value) {
  if (!std::isfinite(value)) return std::nullopt;
  switch (info_of(metric).scale) {
    case Scale::kLogarithm:
      return value < 0 ? std::nullopt : std::optional(std::log(std::max(value, kLeast)));
    case Scale::kShare: return value == 0 || value == 1 ? std::optional(value) : std::nullopt;
    case Scale::kPlain: break;
  }
  return value;
}

double shown(Metric metric, double mean) {
  return info_of(metric).scale == Scale::kLogarithm ? std::exp(mean) : mean;
}

double shown_difference(Metric metric, double difference) {
  return info_of(metric).scale == Scale::kLogarithm ? std::expm1(difference) : difference;
}

}  // namespace switchyard::experiments
