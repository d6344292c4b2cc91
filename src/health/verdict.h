#pragma once

#include "engine/api/loop_activity.h"
#include "health/types.h"

// What checks mean, decided by pure functions of values: their tests are tables.

namespace switchyard::health {

/// What one check has shown.
struct Finding {
  bool answered = true;
  Duration latency{};        ///< until the answer, or until it was given up
  bool went_on = true;       ///< the engine's loop has done something meanwhile
  bool had_company = false;  ///< users' requests were there beside it: how long it took says nothing
  bool was_idle = false;     ///< the loop was at nothing before: whoever was there did not keep it from this
};

/// Nothing where the check is inconclusive.
[[nodiscard]] std::optional<Health> judge(const Finding& finding, const models::HealthSettings& settings);

/// A reply to a user took as long as its prompt asked for: it can show only that things are better.
[[nodiscard]] Health after_reply(Health before, Duration latency, const models::HealthSettings& settings);

/// Whether an engine whose probes have failed `in_a_row`, the last with `finding`, is to be given up. A slow
/// one is not: another would be as slow, and its users would lose their replies.
[[nodiscard]] bool is_broken(const Finding& finding, std::uint32_t in_a_row,
                             const models::HealthSettings& settings);

/// When an engine's loop was last seen to go on.
struct Watch {
  engine::LoopActivity::Reading seen;
  TimePoint since;
};
[[nodiscard]] Watch look(const Watch& before, const engine::LoopActivity::Reading& reading, TimePoint now);
/// Work that has not gone on for HealthSettings::stuck_after.
[[nodiscard]] bool is_stuck(const Watch& watch, TimePoint now, const models::HealthSettings& settings);

/// Whether it is time for a probe: nothing has proven it for an interval, and nobody is using it. Whose users
/// have given its loop nothing to do for as long has not taken up what they ask, or they read slowly.
struct Proof {
  TimePoint now;
  std::optional<TimePoint> proven_at;  ///< none: not since it was loaded
  std::uint32_t leases = 0;
  std::optional<TimePoint> idle_since = {};  ///< its loop, as far as that is known
};
[[nodiscard]] bool wants_probe(const Proof& proof, const models::HealthSettings& settings);

}  // namespace switchyard::health
