#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/confidence_sequence.h"
#include "experiments/metric.h"

namespace switchyard::experiments {

/// One side of a split.
struct Arm {
  std::string version;  ///< model@version
  double weight = 50;   ///< per cent of the requests
  bool operator==(const Arm&) const = default;
};

/// What must not become worse while the primary metric becomes better.
struct Guardrail {
  Metric metric = Metric::kErrorRate;
  /// Harm that is accepted: a share of control's value for times and rates, else in the metric's own unit.
  double tolerance = 0;
  bool operator==(const Guardrail&) const = default;
};

/// By what the report is cut into parts, beside the whole.
struct SegmentBy {
  enum class What : std::uint8_t { kNothing, kPath, kStreaming, kHeader };
  What what = What::kNothing;
  std::string header = {};  ///< of requests, whose values are the parts; with kHeader only
  bool operator==(const SegmentBy&) const = default;
};
/// "none", "path", "streaming", "header:NAME".
[[nodiscard]] std::string to_string(const SegmentBy& by);
/// Errors: kInvalidArgument with the words there are.
[[nodiscard]] Result<SegmentBy> parse_segment_by(std::string_view word);

/// What is asked, fixed before the first observation: what is chosen after a look at the numbers has no
/// promise to keep.
struct Definition {
  std::string id;
  std::string alias;      ///< whose split is watched
  std::vector<Arm> arms;  ///< the control first
  std::string hypothesis = {};
  Metric metric = Metric::kLatency;
  Better better = Better::kLower;  ///< of the primary metric
  std::vector<Guardrail> guardrails = {};
  std::int64_t minimum_sample = 100;  ///< of each arm, before anything is decided
  double alpha = 0.05;                ///< how often, at most, a variant that is no better is promoted
  bool automatic = false;             ///< the alias follows the verdict
  SegmentBy segment_by = {};
  bool operator==(const Definition&) const = default;
};

inline constexpr std::size_t kMostArms = 10;

/// Errors: kInvalidArgument, naming the field.
[[nodiscard]] Status validate(const Definition& definition);

/// What each comparison of the primary metric may err by: alpha is shared out among the variants, each of
/// them a chance to be promoted wrongly (Bonferroni).
[[nodiscard]] Level primary_level(const Definition& definition);
/// The same for one guardrail: all of them and of all variants together roll back wrongly with alpha at most.
[[nodiscard]] Level guardrail_level(const Definition& definition);

enum class State : std::uint8_t {
  kRunning,
  kStopped,  ///< by hand
  kDecided,  ///< by its verdict
};
[[nodiscard]] std::string_view to_string(State state);

}  // namespace switchyard::experiments
