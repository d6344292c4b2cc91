#pragma once

#include <cstdint>

namespace switchyard::experiments {

/// Number, mean and spread of values, none of which is kept. One thread at a time.
/// Source: B. P. Welford, "Note on a Method for Calculating Corrected Sums of Squares and Products",
/// Technometrics 4 (1962).
struct Moments {
  std::int64_t count = 0;
  double mean = 0;
  double squares = 0;  ///< sum of the squared distances from the mean

  void add(double value) {
    ++count;
    const double before = value - mean;
    mean += before / static_cast<double>(count);
    squares += before * (value - mean);
  }
  /// Of a sample; 0 where there are fewer than two values.
  [[nodiscard]] double variance() const { return count < 2 ? 0 : squares / static_cast<double>(count - 1); }
  bool operator==(const Moments&) const = default;
};

}  // namespace switchyard::experiments
