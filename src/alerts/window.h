#pragma once

#include <cstddef>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace switchyard::alerts {

/// The samples of one quantity, oldest first: all, or where they would be more than 1024 a half of them, a
/// quarter ... by chance, so that they speak for the whole time and take little memory. One thread at a time.
class Window {
 public:
  void add(TimePoint at, double value);
  /// Drops what is older than `since`.
  void forget(TimePoint since);
  [[nodiscard]] bool empty() const { return samples_.empty(); }
  [[nodiscard]] std::vector<double> since(TimePoint since) const;

 private:
  std::deque<std::pair<TimePoint, double>> samples_;
  std::size_t one_in_ = 1;   // is kept
  std::minstd_rand random_;  // and not every n-th: what comes may alternate
};

// Of at least one value.
[[nodiscard]] double mean(const std::vector<double>& values);
/// The least value that at least the share `q` of all are not above (nearest rank).
[[nodiscard]] double quantile(std::vector<double> values, double q);

}  // namespace switchyard::alerts
