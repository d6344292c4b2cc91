#pragma once

#include <vector>

#include "models/planner.h"

// Who goes first when memory is needed: pure functions of values.

namespace switchyard::models {

[[nodiscard]] inline bool is_idle_hot(const Candidate& c) { return c.state == State::kHot && c.leases == 0; }
[[nodiscard]] inline bool may_evict(const Candidate& c) { return !c.pinned && !c.leaving; }

/// How little is lost with it: its idle time against the time to come back, times its weight. The one with
/// the highest goes first.
[[nodiscard]] double eviction_score(const Candidate& candidate, TimePoint now);

/// Under pressure of memory outside of the budgets: which candidates to unload, in this order, until `bytes`
/// of the host's memory are freed, one at least where there is one. Parked ones first, then idle hot ones;
/// never what is leased, pinned, kept or waited for.
struct Shedding {
  std::vector<std::size_t> indices;
  ByteSize bytes;  ///< that they free together; what others share stays
};
[[nodiscard]] Shedding choose_to_shed(const Snapshot& snapshot, ByteSize bytes);

}  // namespace switchyard::models
