#include "pressure/shortage.h"

#include <fmt/format.h>

#include <algorithm>

namespace switchyard::pressure {
namespace {

constexpr double kTight = 0.05;
constexpr double kTightAtLimit = 0.10;
constexpr double kEnough = 0.10;
constexpr double kMostStalled = 0.20;
/// A shorter time says nothing of shares.
constexpr Duration kLeastSpan = std::chrono::milliseconds(500);

double stalled_share(const MemoryReading& before, const MemoryReading& now) {
  const Duration span = now.at - before.at;
  if (!before.stalled || !now.stalled || span < kLeastSpan) return 0;
  return static_cast<double>((*now.stalled - *before.stalled).count()) / static_cast<double>(span.count());
}

std::string find_reason(const MemoryReading& before, const MemoryReading& now, Wake wake, double available) {
  const bool hit = now.limit_hits.value_or(0) > before.limit_hits.value_or(0);
  if (available < kTight || (hit && available < kTightAtLimit))
    return fmt::format("{:.1f} % of {} is available", 100 * available, now.memory.total.to_string());
  if (const double share = stalled_share(before, now); share >= kMostStalled)
    return fmt::format("tasks wait for memory {:.0f} % of the time", 100 * share);
  if (wake == Wake::kPressure) return "the kernel reports pressure";
  return {};
}

}  // namespace

std::optional<Shortage> find_shortage(const MemoryReading& before, const MemoryReading& now, Wake wake) {
  const auto total = static_cast<double>(now.memory.total.bytes());
  const auto left = static_cast<double>(now.memory.available.bytes());
  const std::string why = find_reason(before, now, wake, total > 0 ? left / total : 1);
  if (why.empty()) return std::nullopt;
  return Shortage{.missing = ByteSize(static_cast<std::uint64_t>(std::max(0.0, kEnough * total - left))),
                  .why = why};
}

}  // namespace switchyard::pressure
