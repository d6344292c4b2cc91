#include "traffic/canary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "traffic/canary_figures.h"

namespace switchyard::traffic {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

ArmFigures arm(std::uint64_t requests, std::uint64_t errors = 0, Duration ttft = 100ms, double speed = 50) {
  return {.requests = requests,
          .errors = errors,
          .failed_probes = 0,
          .timed = requests,
          .ttft_p95 = ttft,
          .tokens_per_s = speed};
}

struct Case {
  const char* name;
  Duration elapsed;
  ArmFigures canary, stable;
  CanaryMove move;
  const char* reason;
};

TEST(CanaryDecision, FollowsTheFigures) {
  const CanaryPlan plan;  // 60 s, 20 requests, 2 % more errors, 2 times the first token, half the speed
  ArmFigures unwell = arm(0);
  unwell.failed_probes = 1;
  ArmFigures untimed = arm(100, 0, 900ms);
  untimed.timed = 4;
  const Case cases[] = {
      {"too early", 59s, arm(100), arm(100), CanaryMove::kHold, "100 requests, 0 failed"},
      {"too few", 120s, arm(19), arm(100), CanaryMove::kHold, "canary: 19 requests"},
      {"good", 60s, arm(20), arm(100), CanaryMove::kAdvance,
       "p95 of the first token 100.0 ms, 50.0 tokens/s"},
      {"nobody asks the stable one", 60s, arm(20), arm(0), CanaryMove::kAdvance, "stable: 0 requests"},
      {"one error at once", 1s, arm(1, 1), arm(10), CanaryMove::kRollBack, "1 of 1 requests failed"},
      {"an error that is allowed", 60s, arm(100, 2), arm(100), CanaryMove::kAdvance, ""},
      {"one that is not", 60s, arm(100, 3), arm(100), CanaryMove::kRollBack, "3 of 100 requests failed"},
      {"the stable one fails as well", 60s, arm(100, 10), arm(100, 9), CanaryMove::kAdvance, ""},
      {"slow to begin", 1s, arm(20, 0, 201ms), arm(20), CanaryMove::kRollBack,
       "201.0 ms, 100.0 ms of the stable"},
      {"slow, but too few to say", 1s, arm(19, 0, 900ms), arm(20), CanaryMove::kHold, ""},
      {"slow, but hardly timed", 60s, untimed, arm(20), CanaryMove::kAdvance, ""},
      {"slow to go on", 1s, arm(20, 0, 100ms, 24), arm(20), CanaryMove::kRollBack, "24.0 tokens/s, 50.0"},
      {"a failed probe", 0s, unwell, arm(20), CanaryMove::kRollBack, "1 failed probes, 0 allowed"},
  };
  for (const Case& c : cases) {
    const CanaryDecision decision = decide(plan, c.elapsed, c.canary, c.stable);
    EXPECT_EQ(decision.move, c.move) << c.name << ": " << decision.reason;
    EXPECT_THAT(decision.reason, HasSubstr(c.reason)) << c.name;
  }
}

TEST(CanaryPlanTest, IsKeptAndReadBack) {
  const CanaryPlan plan{.steps = {0.5, 50},
                        .interval = 1500ms,
                        .min_requests = 7,
                        .max_error_rate = 0.125,
                        .max_ttft_ratio = 1.5,
                        .min_speed_ratio = 0.25,
                        .max_failed_probes = 3};
  EXPECT_EQ(parse_plan(to_text(plan)), plan);
  EXPECT_EQ(parse_plan(""), CanaryPlan());
}

TEST(CanaryPlanTest, WhatIsWrongIsNamed) {
  const auto error = [](auto change) {
    CanaryPlan plan;
    change(plan);
    const Status checked = check_plan(plan);
    return checked ? std::string() : checked.error().message;
  };
  EXPECT_EQ(error([](CanaryPlan&) {}), "");
  EXPECT_THAT(error([](CanaryPlan& p) { p.steps = {}; }), HasSubstr("'steps'"));
  EXPECT_THAT(error([](CanaryPlan& p) { p.steps = {10, 5}; }), HasSubstr("must rise"));
  EXPECT_THAT(error([](CanaryPlan& p) { p.steps = {10, 100}; }), HasSubstr("below 100"));
  EXPECT_THAT(error([](CanaryPlan& p) { p.steps = {std::nan("")}; }), HasSubstr("'steps'"));
  EXPECT_THAT(error([](CanaryPlan& p) { p.interval = 10ms; }), HasSubstr("'interval'"));
  EXPECT_THAT(error([](CanaryPlan& p) { p.min_requests = 0; }), HasSubstr("'min_requests'"));
  EXPECT_THAT(error([](CanaryPlan& p) { p.max_error_rate = 2; }), HasSubstr("'max_error_rate'"));
  EXPECT_THAT(error([](CanaryPlan& p) { p.max_ttft_ratio = 0.9; }), HasSubstr("'max_ttft_ratio'"));
  EXPECT_THAT(error([](CanaryPlan& p) { p.min_speed_ratio = -1; }), HasSubstr("'min_speed_ratio'"));
}

TEST(CanaryFiguresTest, EachArmHasItsOwn) {
  const models::VersionRef a{"a", "1"}, b{"b", "1"}, c{"c", "1"};
  CanaryFigures figures(a, b);
  for (int n = 1; n <= 100; ++n)
    figures.observe({.version = b, .ttft = std::chrono::milliseconds(n), .tokens_per_s = 10.0 * n});
  figures.observe({.version = a, .failed = {b}});  // b could not, a answered
  figures.observe({.version = b, .is_error = true});
  figures.observe({.version = b, .counts = false, .is_error = true});
  figures.observe({.version = c});
  figures.count_failed_probe(b);
  EXPECT_EQ(figures.canary().requests, 102U);
  EXPECT_EQ(figures.canary().errors, 2U);
  EXPECT_EQ(figures.canary().failed_probes, 1U);
  EXPECT_EQ(figures.canary().ttft_p95, Duration(95ms));
  EXPECT_NEAR(*figures.canary().tokens_per_s, 505, 6);
  EXPECT_EQ(figures.stable().requests, 1U);
  EXPECT_EQ(figures.stable().errors, 0U);
  EXPECT_FALSE(figures.stable().ttft_p95);
  for (int n = 0; n < 5000; ++n) figures.observe({.version = b, .ttft = 7ms});
  EXPECT_EQ(figures.canary().ttft_p95, Duration(7ms)) << "the newest count";
  figures.begin_step();
  EXPECT_EQ(figures.canary().requests, 0U);
}

}  // namespace
}  // namespace switchyard::traffic
