#pragma once

#include <chrono>
#include <mutex>

namespace switchyard {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::steady_clock::time_point;

/// As a number, for people and for JSON.
[[nodiscard]] constexpr double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

/// Where time comes from. Any thread. Tests drive a FakeClock instead of sleeping.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint now() const = 0;
  /// The process-wide monotonic clock.
  static const Clock& steady();
};

/// Stands still until told to move. Any thread.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override {
    const std::scoped_lock lock(mutex_);
    return now_;
  }
  void advance(Duration by) {
    const std::scoped_lock lock(mutex_);
    now_ += std::chrono::duration_cast<TimePoint::duration>(by);
  }

 private:
  mutable std::mutex mutex_;
  TimePoint now_{std::chrono::hours(1)};
};

}  // namespace switchyard
