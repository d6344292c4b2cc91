#include "gateway/turns.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "models/fake_engine.h"

namespace switchyard::gateway {
namespace {

const models::VersionRef kA{"a", "1"}, kB{"b", "1"};

class TurnsTest : public ::testing::Test {
 protected:
  Turns::Id enter(const models::VersionRef& version, std::vector<int>& log, int name, Party party = {}) {
    return turns_.enter({.version = version,
                         .slots = 1,
                         .party = std::move(party),
                         .begin = [&log, name] { log.push_back(name); },
                         .give_up = [&log, name] { log.push_back(-name); }});
  }
  FakeClock clock_;
  Turns turns_{clock_};
  std::vector<int> log_;
};

TEST_F(TurnsTest, OneBeginsWhenItsTurnComes) {
  const Turns::Id one = enter(kA, log_, 1), two = enter(kA, log_, 2);
  turns_.wait(one);
  turns_.wait(two);
  EXPECT_EQ(log_, (std::vector{1}));
  EXPECT_EQ(turns_.waiting().at("a"), 1U);
  turns_.end(one, 10);
  EXPECT_EQ(log_, (std::vector{1, 2}));
  turns_.end(one, 10);  // is gone
  turns_.end(two, 10);
  EXPECT_EQ(turns_.waiting().at("a"), 0U);
}

TEST_F(TurnsTest, VersionsHaveQueuesOfTheirOwn) {
  const Turns::Id one = enter(kA, log_, 1), two = enter(kB, log_, 2);
  turns_.wait(one);
  turns_.wait(two);
  EXPECT_EQ(log_, (std::vector{1, 2}));
}

TEST_F(TurnsTest, OneThatEndedBeforeItWaitedNeverBegins) {
  const Turns::Id one = enter(kA, log_, 1);
  turns_.end(one, 0);
  turns_.wait(one);
  EXPECT_TRUE(log_.empty());
}

TEST_F(TurnsTest, TimeAloneMakesATurnCome) {
  const Turns::Id first = turns_.enter({.version = kA, .slots = 2, .party = {.tenant = "x"}, .begin = [] {}});
  turns_.wait(first);
  turns_.end(first, 10);
  for (int name = 1; name <= 2; ++name) {
    turns_.wait(turns_.enter({.version = kA, .slots = 2, .party = {.tenant = "y"}, .begin = [this, name] {
                                log_.push_back(name);
                              }}));
  }
  EXPECT_EQ(log_, (std::vector{1}));  // the other slot is kept for x
  clock_.advance(std::chrono::minutes(1));
  turns_.look_again();
  EXPECT_EQ(log_, (std::vector{1, 2}));
}

TEST_F(TurnsTest, WhatACallbackHoldsMayEndWithItsPlace) {
  struct Ends {
    Turns* turns;
    Turns::Id other;
    ~Ends() { turns->end(other, 0); }
  };
  const Turns::Id one = enter(kA, log_, 1), two = enter(kA, log_, 2);
  turns_.wait(one);
  auto ends = std::make_shared<Ends>(&turns_, two);
  const Turns::Id holder = turns_.enter({.version = kA, .slots = 1, .begin = [held = ends] {}});
  ends = nullptr;
  turns_.wait(two);
  turns_.wait(holder);
  turns_.end(holder, 0);
  turns_.end(one, 0);
  EXPECT_EQ(log_, (std::vector{1}));  // two has ended with the holder
}

TEST_F(TurnsTest, ManyThreadsNeverHaveMoreTurnsThanThereAreSlots) {
  constexpr int kThreads = 8, kRounds = 300;
  constexpr std::uint32_t kSlots = 3;
  std::atomic<int> at_once = 0, most = 0, done = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < kRounds; ++round) {
        std::atomic<bool> begun = false;
        const Turns::Id id = turns_.enter(
            {.version = kA, .slots = kSlots, .party = {.tenant = std::to_string(t % 3)}, .begin = [&] {
               const int now = ++at_once;
               int seen = most;
               while (seen < now && !most.compare_exchange_weak(seen, now)) {
               }
               begun = true;
               begun.notify_one();
             }});
        turns_.wait(id);
        begun.wait(false);
        --at_once;
        turns_.end(id, 5);
        ++done;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(done, kThreads * kRounds);
  EXPECT_LE(most, static_cast<int>(kSlots));
  EXPECT_EQ(turns_.waiting().at("a"), 0U);
}

}  // namespace
}  // namespace switchyard::gateway
