#include "experiments/confidence_sequence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace switchyard::experiments {
namespace {

Moments shares(std::int64_t ones, std::int64_t zeros) {
  Moments moments;
  for (std::int64_t i = 0; i < ones; ++i) moments.add(1);
  for (std::int64_t i = 0; i < zeros; ++i) moments.add(0);
  return moments;
}

TEST(Moments, AreThoseOfTheValues) {
  Moments moments;
  for (const double value : {1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16}) moments.add(value);
  EXPECT_EQ(moments.count, 4);
  EXPECT_DOUBLE_EQ(moments.mean, 1e9 + 10);
  EXPECT_DOUBLE_EQ(moments.variance(), 30);
}

TEST(MeanDifference, SaysNothingBeforeThereIsASpread) {
  Moments one;
  one.add(3);
  const Interval interval = mean_difference(one, one, {});
  EXPECT_TRUE(std::isinf(interval.lower) && std::isinf(interval.upper));
}

TEST(MeanDifference, IsWiderThanTheFixedSampleIntervalAndNarrowsWithMore) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal(0, 1);
  Moments a, b;
  double before = 1e9;
  for (int i = 1; i <= 100'000; ++i) {
    a.add(normal(random));
    b.add(normal(random) + 0.3);
    if (i == 100 || i == 1000 || i == 10'000 || i == 100'000) {
      const Interval interval = mean_difference(a, b, {.alpha = 0.05, .planned = 1000});
      const double half = (interval.upper - interval.lower) / 2;
      const double fixed = 1.96 * std::sqrt(a.variance() / i + b.variance() / i);
      EXPECT_GT(half, fixed);
      EXPECT_LT(half, 2.5 * fixed) << i;
      EXPECT_LT(half, before);
      EXPECT_LT(interval.lower, 0.3);
      EXPECT_GT(interval.upper, 0.3);
      before = half;
    }
  }
}

TEST(MeanDifference, IsNarrowestAtThePlannedNumber) {
  Moments a, b;
  for (int i = 0; i < 1000; ++i) (a.add(i % 2), b.add(i % 2));
  const auto width = [&](double planned) {
    const Interval interval = mean_difference(a, b, {.alpha = 0.05, .planned = planned});
    return interval.upper - interval.lower;
  };
  EXPECT_LT(width(2000), width(400));
  EXPECT_LT(width(2000), width(10'000));
}

/// 2 arms of 100 with 8 of one and 23 of the other: what trying all pairs of shares on a fine grid says.
TEST(ShareDifference, IsTheExtentOfTheRegion) {
  const Moments a = shares(8, 92), b = shares(23, 77);
  const Level level{.alpha = 0.05};
  const auto log_martingale = [](double s, double n, double p) {
    return std::lgamma(s + 0.5) + std::lgamma(n - s + 0.5) - std::lgamma(n + 1) - 2 * std::lgamma(0.5) -
           s * std::log(p) - (n - s) * std::log1p(-p);
  };
  double lower = 1, upper = -1;
  for (int i = 1; i < 500; ++i) {
    for (int j = 1; j < 700; ++j) {
      const double p = i / 1000.0, q = j / 1000.0;
      if (log_martingale(8, 100, p) + log_martingale(23, 100, q) > -std::log(0.1 * level.alpha)) continue;
      lower = std::min(lower, q - p);
      upper = std::max(upper, q - p);
    }
  }
  const Interval interval = share_difference(a, b, level);
  EXPECT_NEAR(interval.estimate, 0.15, 1e-12);
  EXPECT_NEAR(interval.lower, lower, 0.002);
  EXPECT_NEAR(interval.upper, upper, 0.002);
  EXPECT_NEAR(share_difference(b, a, level).lower, -interval.upper, 1e-9);
}

TEST(ShareDifference, IsAsymptoticWhereThereAreManyOfBoth) {
  const Moments a = shares(300, 700), b = shares(400, 600);
  const Level level{.alpha = 0.05, .planned = 1000};
  const Interval asymptotic = mean_difference(a, b, {.alpha = 0.045, .planned = 1000});
  EXPECT_EQ(share_difference(a, b, level), asymptotic);
}

TEST(ShareDifference, SaysNothingOfNothingAndCloseToNothingOfOne) {
  const Interval none = share_difference({}, {}, {});
  EXPECT_LE(none.lower, -0.99);
  EXPECT_GE(none.upper, 0.99);
  const Interval one = share_difference(shares(0, 1), shares(1, 0), {});
  EXPECT_LT(one.lower, 0);
  EXPECT_GT(share_difference(shares(0, 30), shares(30, 0), {}).lower, 0.5);
}

TEST(ShareDifference, TheQuickAnswerIsThatOfTheInterval) {
  for (std::int64_t ones = 0; ones <= 60; ones += 3) {
    for (const std::int64_t count : {60, 100, 300}) {
      const Moments a = shares(40, 160), b = shares(ones, count - ones);
      const Interval interval = share_difference(a, b, {});
      EXPECT_EQ(interval.lower > 0 || interval.upper < 0, excludes_equal_shares(a, b, {}))
          << ones << " of " << count << ": " << interval.lower << " to " << interval.upper;
    }
  }
}

TEST(MeanOf, HoldsPairedDifferences) {
  Moments same, slower;
  for (int i = 0; i < 200; ++i) {
    same.add(i % 2 ? 0.1 : -0.1);
    slower.add(0.3 + (i % 2 ? 0.1 : -0.1));
  }
  EXPECT_LT(mean_of(same, {}).lower, 0);
  EXPECT_GT(mean_of(same, {}).upper, 0);
  EXPECT_GT(mean_of(slower, {}).lower, 0.2);
}

}  // namespace
}  // namespace switchyard::experiments
