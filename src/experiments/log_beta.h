#pragma once

#include <cmath>

namespace switchyard::experiments {

/// std::lgamma writes to a variable of the whole process; this does not.
[[nodiscard]] inline double log_gamma(double x) {
  int sign = 0;
  return lgamma_r(x, &sign);
}

[[nodiscard]] inline double log_beta(double a, double b) {
  return log_gamma(a) + log_gamma(b) - log_gamma(a + b);
}

}  // namespace switchyard::experiments
