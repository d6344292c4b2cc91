#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "switchyard/result.h"

namespace switchyard::experiments {

/// What variants are compared by.
enum class Metric : std::uint8_t {
  kLatency,          ///< of whole replies, seconds
  kFirstToken,       ///< from the engine to the first token, seconds; of streamed replies
  kTokensPerSecond,  ///< generated, of replies that count them
  kErrorRate,        ///< share of requests that failed by the server's fault
  kScore,            ///< of feedback
  kConversion,       ///< share of "converted" in feedback
};
inline constexpr std::size_t kMetricCount = 6;

/// How values are compared.
enum class Scale : std::uint8_t {
  kLogarithm,  ///< their logarithms: the difference of means is a ratio of geometric means, and the long tail
               ///< that times have does not decide
  kPlain,      ///< as they are
  kShare,      ///< they are 0 or 1
};
enum class Better : std::uint8_t { kLower, kHigher };

struct MetricInfo {
  Metric metric;
  std::string_view name;  ///< in requests, replies and tables
  std::string_view what;  ///< in words
  std::string_view unit;  ///< of one value; empty for none
  Scale scale;
  Better better;
};

/// Of all metrics, in the order of Metric.
[[nodiscard]] const std::array<MetricInfo, kMetricCount>& metric_table();
[[nodiscard]] const MetricInfo& info_of(Metric metric);
/// Errors: kInvalidArgument, with the nearest name.
[[nodiscard]] Result<Metric> parse_metric(std::string_view name);
[[nodiscard]] std::string_view to_string(Better better);

/// What is counted for a value: its logarithm where the metric's scale is one. Nothing for a value that
/// cannot be: no number, or a time below zero. Times and rates below a millionth count as that.
[[nodiscard]] std::optional<double> compared(Metric metric, double value);
/// A compared mean in the metric's unit again (a geometric mean where the scale is logarithmic).
[[nodiscard]] double shown(Metric metric, double mean);
/// A compared difference for people: where the scale is logarithmic as a share of control's value (-0.1: ten
/// per cent less).
[[nodiscard]] double shown_difference(Metric metric, double difference);

}  // namespace switchyard::experiments
