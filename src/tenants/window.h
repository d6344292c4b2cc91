#pragma once

#include <cstdint>
#include <deque>

#include "base/clock.h"

namespace switchyard::tenants {

/// How much came within the last minute, at any moment: a sliding window, so that no minute has more than a
/// limit lets through, wherever it begins. Not thread-safe. Times never go back.
class Window {
 public:
  static constexpr Duration kLength = std::chrono::minutes(1);

  void add(TimePoint now, std::uint64_t amount);
  [[nodiscard]] std::uint64_t sum(TimePoint now);
  /// How long until less than `limit` (above 0) is left of what is in it; 0 when that is so.
  [[nodiscard]] Duration until_below(TimePoint now, std::uint64_t limit);
  /// How long until nothing is left of it.
  [[nodiscard]] Duration until_empty(TimePoint now);

 private:
  struct Part {
    TimePoint leaves;
    std::uint64_t amount = 0;
  };
  void forget(TimePoint now);

  std::deque<Part> parts_;  // oldest first
  std::uint64_t sum_ = 0;
};

}  // namespace switchyard::tenants
