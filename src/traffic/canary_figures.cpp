#include "traffic/canary_figures.h"

#include <algorithm>

namespace switchyard::traffic {
namespace {

constexpr std::size_t kMostKept = 2048;

/// The value below which `share` of them lie; by the nearest rank.
template <typename T>
std::optional<T> quantile(std::vector<T> values, double share) {
  if (values.empty()) return std::nullopt;
  const auto rank = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1) + 0.5);
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(rank));
  return values[rank];
}

}  // namespace

template <typename T>
void CanaryFigures::Newest<T>::add(T value) {
  if (values.size() < kMostKept) return values.push_back(value);
  values[next] = value;
  next = (next + 1) % kMostKept;
}

CanaryFigures::Arm* CanaryFigures::arm_of(const models::VersionRef& version) {
  const auto found = std::ranges::find(refs_, version);
  return found == refs_.end() ? nullptr : &arms_[static_cast<std::size_t>(found - refs_.begin())];
}

void CanaryFigures::observe(const CanaryObservation& observation) {
  const MutexLock lock(mutex_);
  for (const models::VersionRef& version : observation.failed) {
    Arm* const arm = arm_of(version);
    if (arm == nullptr) continue;
    ++arm->requests;
    ++arm->errors;
  }
  Arm* const arm = arm_of(observation.version);
  if (arm == nullptr || !observation.counts) return;
  ++arm->requests;
  if (observation.is_error) {
    ++arm->errors;
    return;
  }
  if (observation.ttft) {
    ++arm->timed;
    arm->ttft.add(*observation.ttft);
  }
  if (observation.tokens_per_s) arm->speeds.add(*observation.tokens_per_s);
}

void CanaryFigures::count_failed_probe(const models::VersionRef& version) {
  const MutexLock lock(mutex_);
  if (Arm* const arm = arm_of(version)) ++arm->failed_probes;
}

void CanaryFigures::begin_step() {
  const MutexLock lock(mutex_);
  arms_ = {};
}

ArmFigures CanaryFigures::figures(std::size_t index) const {
  const MutexLock lock(mutex_);
  const Arm& arm = arms_[index];
  return {.requests = arm.requests,
          .errors = arm.errors,
          .failed_probes = arm.failed_probes,
          .timed = arm.timed,
          .ttft_p95 = quantile(arm.ttft.values, 0.95),
          .tokens_per_s = quantile(arm.speeds.values, 0.5)};
}

}  // namespace switchyard::traffic
