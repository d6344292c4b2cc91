#include "gateway/fallback.h"

#include <gtest/gtest.h>

namespace switchyard::gateway {
namespace {

using models::Standing;
using models::State;

const Standing kHot{.state = State::kHot};
const Standing kCold{.state = State::kCold};
const Standing kBroken{.state = State::kFailed, .in_trouble = true};
const Standing kComingBack{.state = State::kLoading, .in_trouble = true};

TEST(Fallback, OnlyStandsInForWhatCannotAnswerAndTheOneThatIsHotFirst) {
  struct Case {
    std::vector<std::optional<Standing>> standings;
    std::size_t chosen;
  };
  const std::vector<Case> cases = {
      {{}, 0},
      {{kHot, kHot}, 0},
      {{kCold, kHot}, 0},
      {{kBroken}, 0},
      {{kBroken, kCold, kHot}, 2},
      {{kComingBack, kHot}, 1},
      {{kBroken, kCold}, 1},
      {{kBroken, kBroken, kCold}, 2},
      {{kBroken, kBroken}, 0},
      {{kBroken, std::nullopt, kCold}, 2},
      {{std::nullopt, kHot}, 1},
  };
  for (const Case& c : cases) EXPECT_EQ(choose(c.standings), c.chosen) << &c - cases.data();
}

}  // namespace
}  // namespace switchyard::gateway
