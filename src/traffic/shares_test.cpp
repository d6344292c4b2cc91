#include "traffic/shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

namespace switchyard::traffic {
namespace {

using Was = std::vector<std::optional<std::size_t>>;

std::string subject(int n) { return "user-" + std::to_string(n); }

/// Share of 100,000 subjects whose arm is `arm`, in percent.
double percent(const Shares& shares, std::size_t arm) {
  int found = 0;
  for (int n = 0; n < 100'000; ++n) found += shares.arm_of(place_of("chat", subject(n))) == arm ? 1 : 0;
  return found / 1000.0;
}

/// Share of the places whose arm is not the same, looked at in 2^16 steps, in percent; `was` as of
/// moved_to().
double moved(const Shares& before, const Shares& after, const Was& was) {
  int changed = 0;
  for (std::uint64_t place = 0; place < std::uint64_t{1} << 32; place += 1 << 16) {
    const auto at = static_cast<std::uint32_t>(place);
    if (was[after.arm_of(at)] != std::optional(before.arm_of(at))) ++changed;
  }
  return changed * 100.0 / 65536;
}

TEST(PlaceOf, IsWhatTheDocumentsSayForEver) {
  EXPECT_EQ(place_of("chat", "user-1"), 0xfadc0278U);
  EXPECT_NE(place_of("a", "bc"), place_of("ab", "c"));
}

TEST(SharesTest, SubjectsFollowTheWeights) {
  const Shares shares(std::vector<double>{90, 10});
  EXPECT_NEAR(percent(shares, 0), 90, 0.5);
  EXPECT_NEAR(percent(shares, 1), 10, 0.5);
}

TEST(SharesTest, OnlyTheShareThatMustMoveMoves) {
  const std::vector<double> before{90, 10}, after{80, 20};
  const Shares first(before);
  const Shares second = first.moved_to(after, Was{0, 1});
  int changed = 0;
  for (int n = 0; n < 100'000; ++n) {
    const std::uint32_t place = place_of("chat", subject(n));
    if (first.arm_of(place) == second.arm_of(place)) continue;
    ++changed;
    EXPECT_EQ(second.arm_of(place), 1U);
  }
  EXPECT_NEAR(changed / 1000.0, 10, 0.5);
  EXPECT_NEAR(percent(second, 1), 20, 0.5);
}

TEST(SharesTest, AnArmThatComesTakesFromAllAndOneThatGoesLeavesToAll) {
  const Shares two(std::vector<double>{50, 50});
  const Shares three = two.moved_to(std::vector<double>{40, 40, 20}, Was{0, 1, std::nullopt});
  EXPECT_NEAR(moved(two, three, Was{0, 1, std::nullopt}), 20, 0.01);
  // Arm 0 goes; the others are numbered anew.
  const Shares back = three.moved_to(std::vector<double>{60, 40}, Was{1, 2});
  EXPECT_NEAR(moved(three, back, Was{1, 2}), 40, 0.01);
  EXPECT_NEAR(percent(back, 0), 60, 0.5);
}

TEST(SharesTest, ItsTextIsReadBackAndAnythingElseIsNot) {
  const Shares shares =
      Shares(std::vector<double>{50, 30, 20}).moved_to(std::vector<double>{40, 30, 30}, Was{0, 1, 2});
  EXPECT_EQ(Shares::parse(shares.to_text(), 3), shares);
  for (const char* wrong : {"", "x", "4294967296", "4294967296:3", "5:0", "4294967296:0 7:1",
                            "0:0 4294967296:0", "4294967296:0x", "4294967297:0"}) {
    EXPECT_EQ(Shares::parse(wrong, 3), std::nullopt) << wrong;
  }
}

RC_GTEST_PROP(SharesProperty, EveryPlaceHasAnArmAndOnlyTheDifferenceMoves, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(1, 6);
  const auto weights_of = [&] {
    auto weights = *rc::gen::container<std::vector<double>>(
        count, rc::gen::map(rc::gen::inRange(0, 1000), [](int n) { return n / 10.0; }));
    if (std::accumulate(weights.begin(), weights.end(), 0.0) == 0) weights[0] = 1;
    return weights;
  };
  std::vector<double> weights = weights_of();
  Shares shares(weights);
  Was was(count);
  std::iota(was.begin(), was.end(), std::size_t{0});  // NOLINT(bugprone-fold-init-type): indexes
  for (int change = 0; change < 6; ++change) {
    const std::vector<double> next = weights_of();
    const Shares after = shares.moved_to(next, was);
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    const double next_sum = std::accumulate(next.begin(), next.end(), 0.0);
    double least = 0;
    for (std::size_t arm = 0; arm < count; ++arm)
      least += std::abs(next[arm] / next_sum - weights[arm] / sum) * 50;
    RC_ASSERT(std::abs(moved(shares, after, was) - least) < 0.1);
    RC_ASSERT(Shares::parse(after.to_text(), count) == after);
    std::vector<int> found(count, 0);
    for (std::uint64_t place = 0; place < std::uint64_t{1} << 32; place += 1 << 18)
      ++found[after.arm_of(static_cast<std::uint32_t>(place))];
    for (std::size_t arm = 0; arm < count; ++arm)
      RC_ASSERT(std::abs(found[arm] / 16384.0 - next[arm] / next_sum) < 0.01);
    shares = after;
    weights = next;
  }
}

}  // namespace
}  // namespace switchyard::traffic
