#include "experiments/confidence_sequence.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/log_beta.h"

namespace switchyard::experiments {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kPrior = 0.5;
constexpr double kExactPart = 0.1;  // of alpha
constexpr double kMany = 10;        // ones, and zeros, of each arm

Level asymptotic_part(const Level& level) {
  return {.alpha = (1 - kExactPart) * level.alpha, .planned = level.planned};
}

/// The one number that the method lets one choose, squared: such that the interval is narrowest at
/// `level.planned` observations (section 2.4 of the paper, with its approximation of Lambert's W).
double rho_squared(const Level& level) {
  const double twice = -2 * std::log(level.alpha);
  return (twice + std::log(twice + 1)) / level.planned;
}

/// Half the width after `n` observations of variance 1.
double boundary(double n, const Level& level) {
  const double spread = n * rho_squared(level);
  return std::sqrt(2 * (spread + 1) / (n * spread) * std::log(std::sqrt(spread + 1) / level.alpha));
}

/// One arm of 0s and 1s, and the log of its martingale at a share.
class Share {
 public:
  explicit Share(const Moments& values)
      : count_(static_cast<double>(values.count)),
        ones_(std::round(values.mean * count_)),
        evidence_(log_beta(kPrior + ones_, kPrior + count_ - ones_) - log_beta(kPrior, kPrior)) {}

  [[nodiscard]] double ones() const { return ones_; }
  [[nodiscard]] double count() const { return count_; }
  [[nodiscard]] double estimate() const { return count_ == 0 ? 0.5 : ones_ / count_; }
  [[nodiscard]] bool has_many() const { return ones_ >= kMany && count_ - ones_ >= kMany; }
  /// Convex, least at estimate().
  [[nodiscard]] double log_martingale(double share) const {
    const double zeros = count_ - ones_;
    return evidence_ - (ones_ > 0 ? ones_ * std::log(share) : 0) -
           (zeros > 0 ? zeros * std::log1p(-share) : 0);
  }
  /// The share furthest from estimate() towards `end` (0 or 1) whose martingale is not above `most`.
  [[nodiscard]] double furthest(double end, double most) const {
    double inside = estimate(), outside = end;
    if (log_martingale(end) <= most) return end;
    for (int step = 0; step < 50; ++step) {
      const double middle = (inside + outside) / 2;
      (log_martingale(middle) <= most ? inside : outside) = middle;
    }
    return outside;
  }

 private:
  double count_, ones_, evidence_;
};

/// The largest `up`'s share - `down`'s share of all pairs with a product of martingales not above exp(most):
/// a concave function of down's share, searched by golden section.
double largest_difference(const Share& down, const Share& up, double most) {
  const double least_up = up.log_martingale(up.estimate());
  double low = down.furthest(0, most - least_up), high = down.estimate();
  const auto difference = [&](double share) {
    return up.furthest(1, most - down.log_martingale(share)) - share;
  };
  const double golden = (std::sqrt(5.0) - 1) / 2;
  for (int step = 0; step < 40; ++step) {
    const double left = high - golden * (high - low), right = low + golden * (high - low);
    (difference(left) < difference(right) ? low : high) = difference(left) < difference(right) ? left : right;
  }
  return std::max(difference(low), difference(high));
}

}  // namespace

Interval mean_difference(const Moments& control, const Moments& variant, const Level& level) {
  const double estimate = variant.mean - control.mean;
  if (control.count < 2 || variant.count < 2) return {estimate, -kInfinity, kInfinity};
  const auto a = static_cast<double>(control.count), b = static_cast<double>(variant.count);
  const double spread = std::sqrt((a + b) * (control.variance() / a + variant.variance() / b));
  const double half = spread * boundary(a + b, level);
  return {estimate, estimate - half, estimate + half};
}

Interval mean_of(const Moments& values, const Level& level) {
  if (values.count < 2) return {values.mean, -kInfinity, kInfinity};
  const double half = std::sqrt(values.variance()) * boundary(static_cast<double>(values.count), level);
  return {values.mean, values.mean - half, values.mean + half};
}

Interval share_difference(const Moments& control, const Moments& variant, const Level& level) {
  const Share a(control), b(variant);
  const double most = -std::log(kExactPart * level.alpha);
  Interval interval{variant.mean - control.mean, -largest_difference(b, a, most),
                    largest_difference(a, b, most)};
  if (!a.has_many() || !b.has_many()) return interval;
  const Interval asymptotic = mean_difference(control, variant, asymptotic_part(level));
  interval.lower = std::max(interval.lower, asymptotic.lower);
  interval.upper = std::min(interval.upper, asymptotic.upper);
  return interval;
}

bool excludes_equal_shares(const Moments& control, const Moments& variant, const Level& level) {
  const Share a(control), b(variant);
  const double count = a.count() + b.count();
  if (count == 0) return false;
  // The product is least, of all pairs of equal shares, at the share of both arms together.
  const double pooled = (a.ones() + b.ones()) / count;
  if (a.log_martingale(pooled) + b.log_martingale(pooled) > -std::log(kExactPart * level.alpha)) return true;
  if (!a.has_many() || !b.has_many()) return false;
  const Interval asymptotic = mean_difference(control, variant, asymptotic_part(level));
  return asymptotic.lower > 0 || asymptotic.upper < 0;
}

}  // namespace switchyard::experiments
