#include "experiments/sample_ratio.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace switchyard::experiments {
namespace {

TEST(SampleRatio, HoldsNothingAgainstFewOrExactCounts) {
  EXPECT_FALSE(check_sample_ratio(std::array<std::int64_t, 2>{0, 0}, std::array{50.0, 50.0}).mismatch);
  EXPECT_FALSE(check_sample_ratio(std::array<std::int64_t, 2>{3, 0}, std::array{50.0, 50.0}).mismatch);
  EXPECT_FALSE(check_sample_ratio(std::array<std::int64_t, 2>{900, 100}, std::array{90.0, 10.0}).mismatch);
  EXPECT_EQ(check_sample_ratio(std::array<std::int64_t, 2>{900, 100}, std::array{9.0, 1.0}).p_value, 1);
}

TEST(SampleRatio, NoticesCountsThatAreNotByTheWeights) {
  EXPECT_TRUE(check_sample_ratio(std::array<std::int64_t, 2>{500, 500}, std::array{90.0, 10.0}).mismatch);
  EXPECT_TRUE(check_sample_ratio(std::array<std::int64_t, 2>{1150, 850}, std::array{50.0, 50.0}).mismatch);
  EXPECT_TRUE(
      check_sample_ratio(std::array<std::int64_t, 3>{400, 400, 0}, std::array{40.0, 40.0, 20.0}).mismatch);
}

TEST(SampleRatio, LookedAtAfterEveryRequestItRarelyCriesWolf) {
  std::mt19937_64 random(7);
  int mismatches = 0;
  for (int run = 0; run < 1000; ++run) {
    std::array<std::int64_t, 2> counts{};
    bool mismatch = false;
    for (int request = 0; request < 1000 && !mismatch; ++request) {
      ++counts.at(random() % 4 == 0);
      mismatch = check_sample_ratio(counts, std::array{75.0, 25.0}).mismatch;
    }
    mismatches += mismatch;
  }
  EXPECT_LE(mismatches, 3) << "of 1000, at 0.001";
}

}  // namespace
}  // namespace switchyard::experiments
