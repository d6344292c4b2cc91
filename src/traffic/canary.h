#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "switchyard/result.h"

// Whether a version that gets a part of an alias's requests is to get more of them. Pure.

namespace switchyard::traffic {

/// How a canary goes. All comparisons are with the stable arm over the same time.
struct CanaryPlan {
  std::vector<double> steps = {5, 25, 50};       ///< percent of the requests, rising, each below 100
  Duration interval = std::chrono::seconds(60);  ///< the least time at each step
  std::uint32_t min_requests = 20;               ///< of the canary, before a step is good
  double max_error_rate = 0.02;                  ///< above the stable arm's, 0 to 1
  double max_ttft_ratio = 2.0;   ///< p95 of the time to the first token, over the stable arm's
  double min_speed_ratio = 0.5;  ///< tokens a second (median), over the stable arm's
  std::uint32_t max_failed_probes = 0;
  bool operator==(const CanaryPlan&) const = default;
};

/// kInvalidArgument, naming the setting.
[[nodiscard]] Status check_plan(const CanaryPlan& plan);
/// As it is kept, and back; what a text does not say is the default.
[[nodiscard]] std::string to_text(const CanaryPlan& plan);
[[nodiscard]] CanaryPlan parse_plan(std::string_view text);

/// What one arm did since the step began.
struct ArmFigures {
  std::uint64_t requests = 0;  ///< answered or failed; those that clients gave up or got wrong are none
  std::uint64_t errors = 0;    ///< that were the server's fault
  std::uint64_t failed_probes = 0;
  std::uint64_t timed = 0;             ///< requests with a time to the first token
  std::optional<Duration> ttft_p95;    ///< from the engine's start on the request to its first token
  std::optional<double> tokens_per_s;  ///< median
  [[nodiscard]] double error_rate() const {
    return requests == 0 ? 0 : static_cast<double>(errors) / static_cast<double>(requests);
  }
};

enum class CanaryMove : std::uint8_t {
  kHold,      ///< too early to say
  kAdvance,   ///< to the next step, or, after the last, all of it
  kRollBack,  ///< all of it back to the stable arm
};
struct CanaryDecision {
  CanaryMove move = CanaryMove::kHold;
  std::string reason;  ///< with the figures behind it
};

/// `elapsed`: since the step began.
[[nodiscard]] CanaryDecision decide(const CanaryPlan& plan, Duration elapsed, const ArmFigures& canary,
                                    const ArmFigures& stable);

}  // namespace switchyard::traffic
