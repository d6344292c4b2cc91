#pragma once

#include <atomic>

#include "base/clock.h"

namespace switchyard::engine {

/// Whether huge pages are worth asking for. On most machines one of 2 MiB is there in 0.3 ms, zeroed. In a
/// virtual machine whose host takes free memory back (free page reporting does so with large blocks, seconds
/// after they were freed) the host has to find it first, page by page: 10 ms and more for each, while small
/// pages mostly come out of blocks that the guest has kept. So what one has cost decides for the next ones.
/// Any thread.
class HugePages {
 public:
  static constexpr Duration kSlow = std::chrono::milliseconds(3);
  static constexpr Duration kLookAgain = std::chrono::seconds(1);

  [[nodiscard]] bool pay(TimePoint now) const { return now.time_since_epoch() >= slow_until_.load(); }
  /// One took so much of a thread's own time.
  void took(Duration time, TimePoint now) {
    if (time >= kSlow) slow_until_ = now.time_since_epoch() + kLookAgain;
  }

 private:
  std::atomic<Duration> slow_until_ = Duration(0);
};

}  // namespace switchyard::engine
