#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/clock.h"

namespace switchyard::alerts {

/// What is watched. docs/reliability.md says how each value is measured, and why so.
enum class Rule : std::uint8_t {
  kModelLoadTime,     ///< longest load in the window, one that still runs included; per model
  kMemory,            ///< share of the system's memory that is in use
  kInferenceLatency,  ///< 95th percentile of the time from an engine to its first token; per model
  kSwitchSuccess,     ///< share of switches that ended as they should
  kQueueWait,         ///< 95th percentile of the time until a request had its engine; per model
  kErrorRate,         ///< share of requests that failed by the server's fault; per model
  kEngineRestarts,    ///< engines that had to be started again; per model
  kMemoryBudget,      ///< share of the memory budget that is reserved
};
inline constexpr std::size_t kRuleCount = 8;

enum class Unit : std::uint8_t { kSeconds, kRatio, kCount };
enum class Fires : std::uint8_t { kAbove, kBelow };
enum class Severity : std::uint8_t { kWarning, kCritical };
[[nodiscard]] std::string_view to_string(Unit unit) noexcept;
[[nodiscard]] std::string_view to_string(Severity severity) noexcept;

/// What users may set of a rule.
struct RuleSettings {
  bool off = false;
  double threshold = 0;  ///< in the rule's unit; seconds for a time, 0.8 for 80 %
  Duration hold{};       ///< the condition must have held for this long before the alert fires ("for")
  Duration window{};     ///< the value is made of the samples of this last while
  bool operator==(const RuleSettings&) const = default;
};

/// What a rule is.
struct RuleInfo {
  Rule rule;
  std::string_view name;  ///< in settings, metrics, replies
  std::string_view what;  ///< the value in words, as the beginning of a sentence
  Unit unit;
  Fires fires;
  Severity severity;
  std::size_t least_samples;  ///< fewer of them in the window are no value
  RuleSettings defaults;
};

/// Of all rules, in the order of Rule.
[[nodiscard]] const std::array<RuleInfo, kRuleCount>& rule_table();
[[nodiscard]] const RuleInfo& info_of(Rule rule);

/// Settings of all rules, in the order of Rule.
using Rules = std::array<RuleSettings, kRuleCount>;
[[nodiscard]] Rules default_rules();
[[nodiscard]] inline const RuleSettings& settings_of(const Rules& rules, Rule rule) {
  return rules.at(static_cast<std::size_t>(rule));
}

}  // namespace switchyard::alerts
