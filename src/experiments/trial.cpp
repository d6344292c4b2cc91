#include "experiments/trial.h"

#include <algorithm>

namespace switchyard::experiments {
namespace {

constexpr std::int64_t kFirstPoint = 10;

/// A few hundred points at most, however long the experiment: each some per cent further than the last.
std::int64_t next_after(std::int64_t observations) {
  return std::max(kFirstPoint, observations + observations / 32 + 1);
}

std::int64_t last_point(const std::vector<TrailPoint>& trail, std::size_t arm) {
  std::int64_t last = 0;
  for (const TrailPoint& point : trail)
    if (point.arm == arm) last = point.observations;
  return last;
}

}  // namespace

std::int64_t hash_of(std::string_view subject) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : subject) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3U;
  }
  return static_cast<std::int64_t>(hash);
}

std::vector<TrailPoint> next_points(const Trial& trial, const Verdict& verdict) {
  std::vector<TrailPoint> points;
  for (const VariantVerdict& variant : verdict.variants) {
    const std::int64_t now = variant.primary.observations, last = last_point(trial.trail, variant.arm);
    const bool decided = verdict.decision != Decision::kInconclusive && now > last;
    if (now >= next_after(last) || decided)
      points.push_back({.arm = variant.arm, .observations = now, .interval = variant.primary.interval});
  }
  return points;
}

}  // namespace switchyard::experiments
