#include "health/verdict.h"

#include <gtest/gtest.h>

#include <vector>

namespace switchyard::health {
namespace {

using namespace std::chrono_literals;

TEST(Verdict, IsByLatencyAndSaysNothingOfACrowd) {
  struct Case {
    Finding finding;
    std::optional<Health> verdict;
  };
  const std::vector<Case> cases = {
      {{.latency = 0ms}, Health::kHealthy},
      {{.latency = 999ms}, Health::kHealthy},
      {{.latency = 1000ms}, Health::kDegraded},
      {{.latency = 4999ms}, Health::kDegraded},
      {{.latency = 5000ms}, Health::kFailed},
      {{.answered = false, .latency = 10ms}, Health::kFailed},
      {{.latency = 2s, .had_company = true}, std::nullopt},
      {{.latency = 2ms, .had_company = true}, Health::kHealthy},
      {{.answered = false, .latency = 5s, .had_company = true}, std::nullopt},
      {{.answered = false, .latency = 5s, .had_company = true, .was_idle = true}, std::nullopt},
      {{.answered = false, .latency = 5s, .went_on = false, .had_company = true, .was_idle = true},
       Health::kFailed},
  };
  for (const Case& c : cases) EXPECT_EQ(judge(c.finding, {}), c.verdict) << c.finding.latency / 1ms << " ms";
  EXPECT_EQ(judge({.latency = 20ms}, {.healthy = 10ms, .degraded = 15ms}), Health::kFailed);
}

TEST(Verdict, AReplyShowsOnlyThatThingsAreBetter) {
  EXPECT_EQ(after_reply(Health::kFailed, 10ms, {}), Health::kHealthy);
  EXPECT_EQ(after_reply(Health::kFailed, 2s, {}), Health::kDegraded);
  EXPECT_EQ(after_reply(Health::kHealthy, 20s, {}), Health::kHealthy) << "a long prompt";
  EXPECT_EQ(after_reply(Health::kUnknown, 20s, {}), Health::kUnknown);
  EXPECT_EQ(after_reply(Health::kUnknown, 10ms, {}), Health::kHealthy);
}

TEST(Verdict, OnlyAnEngineThatDoesNothingIsBroken) {
  const models::HealthSettings settings{.failures = 3};
  const Finding silent{.answered = false, .went_on = false};
  EXPECT_FALSE(is_broken(silent, 2, settings));
  EXPECT_TRUE(is_broken(silent, 3, settings));
  EXPECT_FALSE(is_broken({.answered = false, .went_on = true}, 9, settings)) << "slow";
  EXPECT_FALSE(is_broken({.answered = false, .went_on = false, .had_company = true}, 9, settings));
  EXPECT_TRUE(
      is_broken({.answered = false, .went_on = false, .had_company = true, .was_idle = true}, 3, settings))
      << "it takes up nothing of what it is asked";
  EXPECT_FALSE(is_broken({.answered = true, .latency = 1h, .went_on = false}, 9, settings));
}

TEST(Watchdog, TellsAStuckDecodeFromASlowOneAndFromNone) {
  const models::HealthSettings settings{.stuck_after = 60s};
  const TimePoint start{1h};
  Watch watch = look({}, {.working = true, .beats = 1}, start);
  EXPECT_FALSE(is_stuck(watch, start + 59s, settings));
  EXPECT_TRUE(is_stuck(watch, start + 60s, settings));
  watch = look(watch, {.working = true, .beats = 1}, start + 59s);
  EXPECT_TRUE(is_stuck(watch, start + 60s, settings)) << "looking is no progress";
  watch = look(watch, {.working = true, .beats = 2}, start + 59s);
  EXPECT_FALSE(is_stuck(watch, start + 100s, settings)) << "slow";
  watch = look(watch, {.working = false, .beats = 3}, start + 100s);
  EXPECT_FALSE(is_stuck(watch, start + 10h, settings)) << "idle";
}

TEST(Probes, ComeAfterALoadAndWhenNothingHasProvenIt) {
  const models::HealthSettings settings{.interval = 60s};
  const TimePoint now{1h};
  EXPECT_TRUE(wants_probe({now, std::nullopt, 0}, settings)) << "just loaded";
  EXPECT_FALSE(wants_probe({now, now - 59s, 0}, settings));
  EXPECT_TRUE(wants_probe({now, now - 60s, 0}, settings));
  EXPECT_FALSE(wants_probe({now, now - 60s, 1}, settings)) << "in use: its reply will be the proof";
  EXPECT_FALSE(wants_probe({now, now - 60s, 1, now - 59s}, settings));
  EXPECT_TRUE(wants_probe({now, now - 60s, 1, now - 60s}, settings)) << "its user waits for nothing";
  EXPECT_FALSE(wants_probe({now, now - 59s, 1, now - 1h}, settings));
  EXPECT_FALSE(wants_probe({now, std::nullopt, 0}, {.interval = 0s})) << "switched off";
}

}  // namespace
}  // namespace switchyard::health
