#include "health/recovery.h"

#include <gtest/gtest.h>

namespace switchyard::health {
namespace {

using namespace std::chrono_literals;
using Kind = Action::Kind;

constexpr TimePoint kStart{1h};
const models::HealthSettings kSettings{.quarantine_after = 5, .backoff = 1s, .backoff_max = 5s};

TEST(Recovery, TheFirstTimeAtOnceThenLaterAndLater) {
  EXPECT_EQ(next_action({.now = kStart, .failures = {}}, kSettings).kind, Kind::kNone);
  EXPECT_EQ(next_action({.now = kStart, .failures = {kStart}}, kSettings).kind, Kind::kLoad);
  struct Case {
    std::vector<TimePoint> failures;
    Duration wait;
  };
  const std::vector<Case> cases = {
      {{kStart - 1s, kStart}, 1s},
      {{kStart - 2s, kStart - 1s, kStart}, 2s},
      {{kStart - 3s, kStart - 2s, kStart - 1s, kStart}, 4s},
      {{kStart - kMemory, kStart}, 0s},
      {{kStart - kMemory + 1s, kStart}, 1s},
  };
  for (const Case& c : cases) {
    const Duration before = c.wait - 1ms;
    if (c.wait > 0s) {
      EXPECT_EQ(next_action({.now = kStart + before, .failures = c.failures}, kSettings),
                (Action{Kind::kWait, kStart + c.wait}));
    }
    EXPECT_EQ(next_action({.now = kStart + c.wait, .failures = c.failures}, kSettings).kind, Kind::kLoad);
  }
}

TEST(Recovery, WaitsAreSpreadByUpToHalfAndBounded) {
  const std::vector<TimePoint> two = {kStart - 1s, kStart};
  EXPECT_EQ(next_action({.now = kStart, .failures = two, .jitter = 1}, kSettings).at, kStart + 1500ms);
  models::HealthSettings patient = kSettings;
  patient.quarantine_after = 100;
  const std::vector<TimePoint> many(50, kStart);
  EXPECT_EQ(next_action({.now = kStart, .failures = many}, patient).at, kStart + 5s);
}

TEST(Recovery, WhatSomebodyLoadsIsNotLoadedTwice) {
  EXPECT_EQ(next_action({.now = kStart, .failures = {kStart}, .loading = true}, kSettings).kind, Kind::kNone);
}

TEST(Recovery, AfterTooManyFailuresItIsLeftAlone) {
  std::vector<TimePoint> failures(5, kStart);
  EXPECT_EQ(next_action({.now = kStart, .failures = failures}, kSettings).kind, Kind::kQuarantine);
  failures[0] = failures[1] = kStart - kMemory;
  EXPECT_NE(next_action({.now = kStart, .failures = failures}, kSettings).kind, Kind::kQuarantine);
  models::HealthSettings never = kSettings;
  never.quarantine_after = 0;
  EXPECT_NE(next_action({.now = kStart, .failures = std::vector<TimePoint>(50, kStart)}, never).kind,
            Kind::kQuarantine);
}

}  // namespace
}  // namespace switchyard::health
