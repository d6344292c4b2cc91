#include "alerts/rule.h"

#include <algorithm>

namespace switchyard::alerts {
namespace {

using namespace std::chrono_literals;

constexpr std::array<RuleInfo, kRuleCount> kTable{{
    {Rule::kModelLoadTime,
     "model_load_time",
     "the longest load",
     Unit::kSeconds,
     Fires::kAbove,
     Severity::kWarning,
     1,
     {.threshold = 10, .hold = 0s, .window = 10min}},
    {Rule::kMemory,
     "memory",
     "memory in use",
     Unit::kRatio,
     Fires::kAbove,
     Severity::kCritical,
     1,
     {.threshold = 0.8, .hold = 1min, .window = 30s}},
    {Rule::kInferenceLatency,
     "inference_latency",
     "the time to the first token (p95)",
     Unit::kSeconds,
     Fires::kAbove,
     Severity::kWarning,
     5,
     {.threshold = 1, .hold = 1min, .window = 5min}},
    {Rule::kSwitchSuccess,
     "switch_success",
     "the share of switches that succeeded",
     Unit::kRatio,
     Fires::kBelow,
     Severity::kCritical,
     1,
     {.threshold = 0.999, .hold = 0s, .window = 1h}},
    {Rule::kQueueWait,
     "queue_wait",
     "the wait for an engine (p95)",
     Unit::kSeconds,
     Fires::kAbove,
     Severity::kWarning,
     5,
     {.threshold = 10, .hold = 1min, .window = 5min}},
    {Rule::kErrorRate,
     "error_rate",
     "the share of requests that failed",
     Unit::kRatio,
     Fires::kAbove,
     Severity::kCritical,
     10,
     {.threshold = 0.05, .hold = 1min, .window = 5min}},
    {Rule::kEngineRestarts,
     "engine_restarts",
     "engines started again",
     Unit::kCount,
     Fires::kAbove,
     Severity::kCritical,
     1,
     {.threshold = 2, .hold = 0s, .window = 15min}},
    {Rule::kMemoryBudget,
     "memory_budget",
     "the reserved share of the memory budget",
     Unit::kRatio,
     Fires::kAbove,
     Severity::kWarning,
     1,
     {.threshold = 0.95, .hold = 10min, .window = 1min}},
}};

constexpr bool is_in_order() {
  for (std::size_t i = 0; i < kRuleCount; ++i) {
    if (static_cast<std::size_t>(kTable[i].rule) != i) return false;
  }
  return true;
}
static_assert(is_in_order());

}  // namespace

std::string_view to_string(Unit unit) noexcept {
  switch (unit) {
    case Unit::kSeconds: return "seconds";
    case Unit::kRatio: return "ratio";
    case Unit::kCount: return "count";
  }
  return "count";
}

std::string_view to_string(Severity severity) noexcept {
  return severity == Severity::kCritical ? "critical" : "warning";
}

const std::array<RuleInfo, kRuleCount>& rule_table() { return kTable; }
const RuleInfo& info_of(Rule rule) { return kTable.at(static_cast<std::size_t>(rule)); }

Rules default_rules() {
  Rules rules;
  std::ranges::transform(kTable, rules.begin(), &RuleInfo::defaults);
  return rules;
}

}  // namespace switchyard::alerts
