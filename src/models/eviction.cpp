#include "models/eviction.h"

#include <algorithm>
#include <tuple>

namespace switchyard::models {
namespace {

/// Cost of losing it: time to come back, times its weight.
double cost(const Candidate& candidate) {
  return std::max(seconds(candidate.came_back_in), 1e-3) * std::max(candidate.weight, 1e-6);
}

bool may_shed(const Candidate& c) {
  return may_evict(c) && !c.wanted && c.held && (c.state == State::kParked || is_idle_hot(c));
}

}  // namespace

double eviction_score(const Candidate& candidate, TimePoint now) {
  const Duration idle = candidate.leases > 0 ? Duration::zero() : Duration(now - candidate.idle_since);
  return (seconds(idle) + 1e-6) / cost(candidate);
}

Shedding choose_to_shed(const Snapshot& snapshot, ByteSize bytes) {
  const auto& candidates = snapshot.candidates;
  std::vector<std::size_t> may;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (may_shed(candidates[i])) may.push_back(i);
  }
  std::ranges::sort(may, {}, [&](std::size_t i) {
    return std::tuple(candidates[i].state != State::kParked, -eviction_score(candidates[i], snapshot.now), i);
  });
  Shedding shedding;
  Usage usage = snapshot.usage;
  const ByteSize before = usage.total("host");
  for (const std::size_t i : may) {
    if (!shedding.indices.empty() && shedding.bytes >= bytes) break;
    usage.remove(*candidates[i].held);
    shedding.indices.push_back(i);
    shedding.bytes = before - usage.total("host");
  }
  return shedding;
}

}  // namespace switchyard::models
