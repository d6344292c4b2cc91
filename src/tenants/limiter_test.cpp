#include "tenants/limiter.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace switchyard::tenants {
namespace {

using namespace std::chrono_literals;

class LimiterTest : public testing::Test {
 protected:
  FakeClock clock_;
  Limiter limiter_{clock_};
};

TEST_F(LimiterTest, LetsAsManyThroughAMinuteAsItSays) {
  const Limits limits{.rpm = 2};
  ASSERT_TRUE(limiter_.admit("k", limits));
  clock_.advance(20s);
  const auto second = limiter_.admit("k", limits);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->standing().requests, (Standing::OfOne{.limit = 2, .remaining = 0, .reset = 60s}));
  const auto third = limiter_.admit("k", limits);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().error.code, ErrorCode::kOverloaded);
  EXPECT_EQ(third.error().retry_after, 40s) << "then the first one has left the minute";
  EXPECT_EQ(third.error().standing.requests->reset, 60s);
  clock_.advance(40s - 1ns);
  EXPECT_FALSE(limiter_.admit("k", limits)) << "not a moment earlier";
  clock_.advance(1ns);
  EXPECT_TRUE(limiter_.admit("k", limits)) << "those that were refused did not count";
  EXPECT_FALSE(limiter_.admit("k", limits));
  EXPECT_TRUE(limiter_.admit("another", limits));
}

TEST_F(LimiterTest, PlacesAreGivenBackOnce) {
  const Limits limits{.parallel = 1};
  auto first = limiter_.admit("k", limits);
  ASSERT_TRUE(first);
  EXPECT_FALSE(limiter_.admit("k", limits));
  first->end(5);
  auto second = limiter_.admit("k", limits);
  ASSERT_TRUE(second);
  first->end(5);
  EXPECT_FALSE(limiter_.admit("k", limits)) << "the second's place is its own";
  {
    const Permit moved = std::move(*second);
    EXPECT_FALSE(limiter_.admit("k", limits));
  }
  EXPECT_TRUE(limiter_.admit("k", limits)) << "a permit that goes gives its place back";
}

TEST_F(LimiterTest, TokensAreChargedWhenTheyAreKnown) {
  const Limits limits{.tpm = 100};
  auto first = limiter_.admit("k", limits);
  auto beside = limiter_.admit("k", limits);
  ASSERT_TRUE(first && beside) << "nothing is known of them yet";
  first->end(60);
  EXPECT_EQ(beside->standing().tokens->remaining, 40U);
  ASSERT_TRUE(limiter_.admit("k", limits));
  clock_.advance(10s);
  beside->end(70);
  EXPECT_EQ(beside->standing().tokens->remaining, 0U);
  const auto refused = limiter_.admit("k", limits);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().retry_after, 50s) << "then 70 are left of 130";
  clock_.advance(50s);
  EXPECT_TRUE(limiter_.admit("k", limits));
}

TEST_F(LimiterTest, TokensAheadAreKeptFreeUntilTheyAreKnown) {
  const Limits limits{.tpm = 100};
  const Ahead forty{.tokens = 40, .is_bound = true};
  auto first = limiter_.admit("k", limits, forty);
  auto second = limiter_.admit("k", limits, forty);
  ASSERT_TRUE(first && second);
  const auto third = limiter_.admit("k", limits, forty);
  ASSERT_FALSE(third) << "120 might be taken";
  EXPECT_EQ(third.error().retry_after, 1s) << "nobody knows when one of them ends";
  EXPECT_TRUE(limiter_.admit("k", limits, {.tokens = 20, .is_bound = true}));
  first->end(30);
  EXPECT_FALSE(limiter_.admit("k", limits, forty)) << "30 are used, 40 may be";
  second->end(40);
  const auto over = limiter_.admit("k", limits, forty);
  ASSERT_FALSE(over) << "70 are used";
  EXPECT_EQ(over.error().retry_after, 60s);
  EXPECT_TRUE(limiter_.admit("k", limits, {.tokens = 30, .is_bound = true}));
  EXPECT_TRUE(limiter_.admit("another", limits, forty));
}

TEST_F(LimiterTest, ARequestThatMayNeedMoreThanTheLimitGetsAMinuteOfItsOwn) {
  const Limits limits{.tpm = 100};
  const Ahead endless{.tokens = 5000, .is_bound = true};
  auto first = limiter_.admit("k", limits, endless);
  ASSERT_TRUE(first);
  EXPECT_FALSE(limiter_.admit("k", limits, {.tokens = 1, .is_bound = true}));
  EXPECT_TRUE(limiter_.admit("k", limits)) << "what takes no tokens takes them from nobody";
  first->end(10);
  EXPECT_TRUE(limiter_.admit("k", limits, {.tokens = 1, .is_bound = true})) << "ninety are left";
  const auto again = limiter_.admit("k", limits, endless);
  ASSERT_FALSE(again);
  clock_.advance(again.error().retry_after);
  EXPECT_TRUE(limiter_.admit("k", limits, endless));
}

TEST_F(LimiterTest, WithoutABoundARequestIsAdmittedWhileSomethingIsLeft) {
  const Limits limits{.tpm = 100};
  const Ahead usual{.tokens = 300};
  auto first = limiter_.admit("k", limits, usual);
  ASSERT_TRUE(first);
  EXPECT_FALSE(limiter_.admit("k", limits, usual)) << "but not beside another";
  first->end(99);
  EXPECT_TRUE(limiter_.admit("k", limits, usual));
}

TEST_F(LimiterTest, AChangedLimitHoldsForWhatComesNext) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(limiter_.admit("k", {.rpm = 5}));
  EXPECT_FALSE(limiter_.admit("k", {.rpm = 3}));
  EXPECT_TRUE(limiter_.admit("k", {.rpm = 6}));
  limiter_.forget("k");
  EXPECT_TRUE(limiter_.admit("k", {.rpm = 3}));
}

/// 32 threads ask as often as they can: as many as the limit says get through, not one more, not one less.
TEST_F(LimiterTest, NotOneOverTheLimitFrom32Threads) {
  constexpr int kThreads = 32, kEach = 200;
  const Limits limits{.rpm = 1000, .parallel = 7};
  std::atomic<int> admitted = 0, running = 0, most = 0;
  for (int minute = 1; minute <= 3; ++minute) {
    std::barrier start(kThreads);
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        start.arrive_and_wait();
        for (int i = 0; i < kEach; ++i) {
          auto permit = limiter_.admit("k", limits);
          if (!permit) continue;
          ++admitted;
          const int now = ++running;
          for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
          }
          std::this_thread::yield();
          --running;
          permit->end(1);
        }
      });
    }
    threads.clear();
    EXPECT_LE(admitted, 1000 * minute);
    // Alone, the rest of this minute's requests get through.
    while (limiter_.admit("k", limits)) ++admitted;
    EXPECT_EQ(admitted, 1000 * minute);
    EXPECT_LE(most, 7);
    clock_.advance(60s);
  }
}

/// What the limiter is to be, without its cleverness: everything that ever happened, looked at anew.
struct Model {
  struct Happened {
    TimePoint at;
    std::uint64_t amount;
  };
  static std::uint64_t within_a_minute(const std::vector<Happened>& all, TimePoint now) {
    std::uint64_t sum = 0;
    for (const Happened& one : all) {
      if (one.at + 60s > now) sum += one.amount;
    }
    return sum;
  }
  [[nodiscard]] bool admits(const Limits& limits, Ahead ahead, TimePoint now) const {
    const std::uint64_t used = within_a_minute(tokens, now);
    const std::uint64_t needed = std::min(ahead.tokens, *limits.tpm);
    const std::uint64_t of_running = std::accumulate(running.begin(), running.end(), std::uint64_t{0});
    return running.size() < *limits.parallel && within_a_minute(requests, now) < *limits.rpm &&
           used < *limits.tpm &&
           (needed == 0 || ((of_running == 0 || used + of_running + needed <= *limits.tpm) &&
                            (!ahead.is_bound || used + needed <= *limits.tpm)));
  }
  std::vector<Happened> requests, tokens;
  std::vector<std::uint64_t> running;  // what is ahead of them
};

TEST(LimiterProperty, DecidesAsTheModelOfItDoes) {
  EXPECT_TRUE(rc::check("every admission, refusal and wait", [] {
    FakeClock clock;
    Limiter limiter(clock);
    Model model;
    const Limits limits{
        .rpm = *rc::gen::inRange(1, 8), .tpm = *rc::gen::inRange(1, 50), .parallel = *rc::gen::inRange(1, 5)};
    std::vector<Permit> running;
    for (const int step : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 100))) {
      if (step < 50) {
        const Ahead ahead{.tokens = *rc::gen::inRange<std::uint64_t>(0, 60),
                          .is_bound = *rc::gen::arbitrary<bool>()};
        const bool expected = model.admits(limits, ahead, clock.now());
        auto permit = limiter.admit("k", limits, ahead);
        RC_ASSERT(permit.has_value() == expected);
        if (permit) {
          running.push_back(std::move(*permit));
          model.requests.push_back({clock.now(), 1});
          model.running.push_back(ahead.tokens);
        } else if (model.running.empty()) {
          // After that time it gets through where that is all, and not a moment earlier.
          const Duration wait = permit.error().retry_after;
          RC_ASSERT(wait > Duration::zero() && wait <= 60s);
          RC_ASSERT(!model.admits(limits, ahead, clock.now() + wait - 1ns));
        }
      } else if (step < 75 && !running.empty()) {
        const auto tokens = static_cast<std::uint64_t>(step - 50);
        running.back().end(tokens);
        running.pop_back();
        model.tokens.push_back({clock.now(), tokens});
        model.running.pop_back();
      } else {
        clock.advance(std::chrono::microseconds(*rc::gen::inRange(0, 30'000'000)));
      }
    }
  }));
}

}  // namespace
}  // namespace switchyard::tenants
