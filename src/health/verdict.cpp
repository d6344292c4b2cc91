#include "health/verdict.h"

#include <algorithm>

namespace switchyard::health {
namespace {

Health by_latency(Duration latency, const models::HealthSettings& settings) {
  if (latency < settings.healthy) return Health::kHealthy;
  return latency < settings.degraded ? Health::kDegraded : Health::kFailed;
}

/// Nothing that is known had kept it from the probe.
bool was_free(const Finding& finding) {
  return !finding.had_company || (finding.was_idle && !finding.went_on);
}

}  // namespace

std::optional<Health> judge(const Finding& finding, const models::HealthSettings& settings) {
  if (!finding.answered) return was_free(finding) ? std::optional(Health::kFailed) : std::nullopt;
  const Health health = by_latency(finding.latency, settings);
  if (finding.had_company && health != Health::kHealthy) return std::nullopt;
  return health;
}

Health after_reply(Health before, Duration latency, const models::HealthSettings& settings) {
  const Health now = by_latency(latency, settings);
  if (before == Health::kUnknown) return now == Health::kHealthy ? now : before;
  return std::min(before, now);
}

bool is_broken(const Finding& finding, std::uint32_t in_a_row, const models::HealthSettings& settings) {
  return !finding.answered && was_free(finding) && !finding.went_on && in_a_row >= settings.failures;
}

Watch look(const Watch& before, const engine::LoopActivity::Reading& reading, TimePoint now) {
  return reading == before.seen ? before : Watch{reading, now};
}

bool is_stuck(const Watch& watch, TimePoint now, const models::HealthSettings& settings) {
  return watch.seen.working && now - watch.since >= settings.stuck_after;
}

bool wants_probe(const Proof& proof, const models::HealthSettings& settings) {
  if (settings.interval <= Duration::zero()) return false;
  const bool at_nothing = proof.idle_since && proof.now - *proof.idle_since >= settings.interval;
  if (proof.leases > 0 && !at_nothing) return false;
  return !proof.proven_at || proof.now - *proof.proven_at >= settings.interval;
}

}  // namespace switchyard::health
