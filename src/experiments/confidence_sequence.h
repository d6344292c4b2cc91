#pragma once

#include <cstdint>

#include "experiments/moments.h"

// Intervals for a difference that may be looked at after every observation, for as long as one likes: the
// chance that one of them, ever, misses the true difference is alpha at most. Pure functions, O(1) in the
// number of observations.

namespace switchyard::experiments {

/// How sure, and where the interval is to be narrowest. Both must be fixed before the first observation.
struct Level {
  double alpha = 0.05;
  /// Observations of all arms together at which the interval is to be narrowest. It holds at any number.
  double planned = 1000;
};

struct Interval {
  double estimate = 0;
  double lower = 0;  ///< -infinity where nothing can be said yet
  double upper = 0;
  [[nodiscard]] bool operator==(const Interval&) const = default;
};

/// variant's mean - control's mean, of values of any size. Asymptotic: it holds from some number of
/// observations on, which is why experiments have a minimum sample (bench/ab_simulation measures how well).
/// Source: I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory
/// and asymptotic confidence sequences", Annals of Statistics 52 (2024), arXiv:2103.06476, equation (5), with
/// the variance of a difference of two means, as in A. V. Maharaj et al., "Anytime-Valid Confidence Sequences
/// in an Enterprise A/B Testing Platform" (2023), arXiv:2302.10108.
[[nodiscard]] Interval mean_difference(const Moments& control, const Moments& variant, const Level& level);

/// The mean of values (of paired differences), by the same method.
[[nodiscard]] Interval mean_of(const Moments& values, const Level& level);

/// variant's share - control's share, of values that are 0 or 1: where two intervals overlap, which share
/// alpha out (so the chance that one of them ever misses is alpha at most).
///  - One with a tenth of it holds at every count, from the first observation on: for each arm the
///    beta-binomial mixture martingale with a Beta(1/2, 1/2) prior; those of two independent arms multiplied
///    are one again, and by Ville's inequality the pairs of shares at which the product is below 1 / alpha
///    hold the true pair at all times. The interval is that region's extent.
///  - The other, with nine tenths, is mean_difference(), once each arm has 10 ones and 10 zeros: that is
///  where
///    it holds (measured by bench/ab_simulation), and it needs half as many observations as the first.
/// Sources of the first: H. Robbins, "Statistical Methods Related to the Law of the Iterated Logarithm",
/// Annals of Mathematical Statistics 41 (1970); S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon,
/// "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49 (2021),
/// arXiv:1810.08240. Takes some 0.1 ms: excludes_equal_shares() says much quicker whether 0 is outside.
[[nodiscard]] Interval share_difference(const Moments& control, const Moments& variant, const Level& level);
[[nodiscard]] bool excludes_equal_shares(const Moments& control, const Moments& variant, const Level& level);

}  // namespace switchyard::experiments
