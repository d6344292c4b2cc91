#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/experiment.h"
#include "experiments/sample_ratio.h"

namespace switchyard::experiments {

/// All that is known of one arm.
struct ArmNumbers {
  std::int64_t assigned = 0;  ///< requests or, where they have subjects, subjects that came to it
  std::int64_t requests = 0;
  std::array<Moments, kMetricCount> metrics = {};  ///< of compared() values, in the order of Metric

  [[nodiscard]] const Moments& of(Metric metric) const {
    return metrics.at(static_cast<std::size_t>(metric));
  }
  bool operator==(const ArmNumbers&) const = default;
};

enum class Decision : std::uint8_t {
  kInconclusive,  ///< not yet
  kPromote,
  kRollBack,
};
[[nodiscard]] std::string_view to_string(Decision decision);

/// What an interval proves about a variant.
enum class Side : std::uint8_t { kUnknown, kBetter, kWorse };
[[nodiscard]] std::string_view to_string(Side side);

/// A variant against the control by one metric.
struct Comparison {
  Metric metric = Metric::kLatency;
  Interval interval = {};         ///< of the compared values
  double alpha = 0;               ///< what the interval may err by
  std::int64_t observations = 0;  ///< of the arm that has fewer
  bool enough = false;            ///< of them, to decide by
  Side side = Side::kUnknown;  ///< unknown while there are not enough; of a guardrail: beyond its tolerance
};

struct VariantVerdict {
  std::size_t arm = 0;
  Decision decision = Decision::kInconclusive;
  Comparison primary = {};
  std::vector<Comparison> guardrails = {};  ///< in the definition's order
};

struct Verdict {
  Decision decision = Decision::kInconclusive;
  std::size_t arm = 0;  ///< which the alias should mean now: the promoted one, or the control
  std::vector<std::string> reasons = {};  ///< sentences for people
  std::vector<VariantVerdict> variants = {};
  SampleRatio ratio = {};
};

/// One comparison as it stands. `better` is what is good for this metric.
[[nodiscard]] Comparison compare(Metric metric, Better better, double tolerance, const ArmNumbers& control,
                                 const ArmNumbers& variant, const Level& level, std::int64_t minimum_sample);

/// The same for a guardrail of an experiment.
[[nodiscard]] Comparison compare_guardrail(const Definition& definition, const Guardrail& guardrail,
                                           const ArmNumbers& control, const ArmNumbers& variant);

/// What the numbers say: a pure function. `arms` are in the definition's order.
///  - Where requests are not shared out as the weights say nothing is decided, but for guardrails that all
///    variants break.
///  - A variant whose guardrail is proven worse than control, or whose primary metric is, is to be rolled
///  back;
///    guardrails that are shares hold from the first observation on, all else from minimum_sample on.
///  - A variant whose primary metric is proven better is to be promoted; of several the best.
///  - When all variants are to be rolled back so is the experiment.
[[nodiscard]] Verdict decide(const Definition& definition, std::span<const ArmNumbers> arms);

}  // namespace switchyard::experiments
