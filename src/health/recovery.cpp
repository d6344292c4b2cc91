#include "health/recovery.h"

#include <algorithm>

namespace switchyard::health {
namespace {

Duration wait_after(std::size_t failures, double jitter, const models::HealthSettings& settings) {
  if (failures <= 1) return Duration::zero();
  const Duration plain = settings.backoff * (1LL << std::min<std::size_t>(failures - 2, 20));
  const Duration bounded = std::min(plain, settings.backoff_max);
  return bounded + std::chrono::duration_cast<Duration>(bounded * (jitter / 2));
}

}  // namespace

Action next_action(const Trouble& trouble, const models::HealthSettings& settings) {
  const auto recent = static_cast<std::size_t>(
      std::ranges::count_if(trouble.failures, [&](TimePoint at) { return trouble.now - at < kMemory; }));
  if (settings.quarantine_after > 0 && recent >= settings.quarantine_after)
    return {.kind = Action::Kind::kQuarantine};
  if (trouble.loading || trouble.failures.empty()) return {};
  const TimePoint due = trouble.failures.back() + wait_after(recent, trouble.jitter, settings);
  return due <= trouble.now ? Action{.kind = Action::Kind::kLoad} : Action{Action::Kind::kWait, due};
}

}  // namespace switchyard::health
