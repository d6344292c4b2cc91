#include "engine/worker/busy_board.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <vector>

namespace switchyard::engine::worker {
namespace {

constexpr std::int64_t kNow = 1'000'000'000, kWindow = 50'000'000;

TEST(BusyBoard, CountsWhoDecodesAndWhoHasJustNow) {
  BusyBoard board;
  BusyBoard::Seat* const own = board.take_seat();
  BusyBoard::Seat* const other = board.take_seat();
  ASSERT_TRUE(own != nullptr && other != nullptr);
  EXPECT_EQ(board.decoding(kNow, kWindow, own), 0U);
  other->last_ns = INT64_MAX;
  EXPECT_EQ(board.decoding(kNow, kWindow, own), 1U);
  EXPECT_EQ(board.decoding(kNow, kWindow, other), 0U);
  other->last_ns = kNow - kWindow + 1;
  EXPECT_EQ(board.decoding(kNow, kWindow, own), 1U);
  other->last_ns = kNow - kWindow;
  EXPECT_EQ(board.decoding(kNow, kWindow, own), 0U);
  other->last_ns = INT64_MAX;
  BusyBoard::leave(*other);
  EXPECT_EQ(board.decoding(kNow, kWindow, own), 0U);
}

TEST(BusyBoard, ASeatIsGivenAgain) {
  BusyBoard board;
  BusyBoard::Seat* const first = board.take_seat();
  BusyBoard::leave(*first);
  EXPECT_EQ(board.take_seat(), first);
}

TEST(BusyBoard, AnotherProcessIsSeenAndItsMarksGoWithIt) {
  BusyBoard board;
  const pid_t child = ::fork();
  if (child == 0) {
    BusyBoard joined(::dup(board.fd()));
    joined.begin_load();
    joined.take_seat()->last_ns = INT64_MAX;
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(board.loads(), 1U) << "nobody has cleared it";
  EXPECT_EQ(board.decoding(kNow, kWindow, nullptr), 1U);
  const std::int64_t before = board.spent_ns();
  board.clear(child, 7'000'000'000);
  EXPECT_EQ(board.loads(), 0U);
  EXPECT_EQ(board.decoding(kNow, kWindow, nullptr), 0U);
  EXPECT_GE(board.spent_ns(), before + 7'000'000'000) << "what it took is not a stranger's";
}

TEST(BusyBoard, AnEnginesActivityIsReadByAnotherProcess) {
  BusyBoard board;
  const auto own = board.make_activity();
  const pid_t child = ::fork();
  if (child == 0) {
    BusyBoard joined(::dup(board.fd()));
    const auto activity = joined.make_activity();
    activity->begin();
    const auto place = joined.place_of(*activity);
    ::raise(place && *place == 1 ? SIGKILL : SIGABRT);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(board.place_of(*own), 0U);
  const auto theirs = board.activity_at(1);
  ASSERT_NE(theirs, nullptr);
  EXPECT_TRUE(theirs->read().working);
  EXPECT_FALSE(own->read().working);
  board.clear(child, 0);
  EXPECT_FALSE(theirs->read().working);
  EXPECT_EQ(board.activity_at(1'000'000), nullptr);
}

TEST(BusyBoard, AnActivityBeyondTheLastPlaceIsOfThisProcessAlone) {
  BusyBoard board;
  std::vector<std::shared_ptr<LoopActivity>> all;
  while (all.empty() || board.place_of(*all.back())) all.push_back(board.make_activity());
  all.back()->begin();
  EXPECT_TRUE(all.back()->read().working);
  const LoopActivity* const first = all.front().get();
  all.front().reset();
  EXPECT_EQ(board.make_activity().get(), first) << "a place is given again";
}

TEST(BusyBoard, LoadsOfThisProcess) {
  BusyBoard board;
  board.begin_load();
  board.begin_load();
  EXPECT_EQ(board.loads(), 2U);
  board.end_load();
  EXPECT_EQ(board.loads(), 1U);
}

}  // namespace
}  // namespace switchyard::engine::worker
