#include "models/lifecycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace switchyard::models {
namespace {

using ::testing::HasSubstr;

constexpr std::array kStates = {State::kCold,     State::kLoading, State::kWarming,   State::kHot,
                                State::kDraining, State::kParked,  State::kUnloading, State::kFailed};

TEST(Lifecycle, EveryStateIsInTheTableAndInItsDiagram) {
  for (const State state : kStates) {
    EXPECT_TRUE(std::ranges::any_of(legal_moves(), [&](const Move& m) { return m.from == state; }))
        << to_string(state);
    EXPECT_TRUE(std::ranges::any_of(legal_moves(), [&](const Move& m) { return m.to == state; }))
        << to_string(state);
    EXPECT_THAT(mermaid_diagram(), HasSubstr("  " + std::string(to_string(state)) + " --> "));
  }
}

TEST(Lifecycle, OnlyAMoveOfTheTableIsMade) {
  Lifecycle life;
  EXPECT_TRUE(life.move_to(State::kLoading));
  EXPECT_EQ(life.state(), State::kLoading);
#ifdef NDEBUG
  EXPECT_EQ(life.move_to(State::kUnloading).error().code, ErrorCode::kInternal);
  EXPECT_EQ(life.state(), State::kLoading);
#else
  EXPECT_DEATH((void)life.move_to(State::kUnloading), "illegal move");
#endif
}

TEST(Lifecycle, NothingBecomesHotWithoutHavingAnswered) {
  for (const Move& move : legal_moves()) {
    if (move.to != State::kHot) continue;
    EXPECT_TRUE(move.from == State::kWarming || move.from == State::kDraining);
  }
}

}  // namespace
}  // namespace switchyard::models
