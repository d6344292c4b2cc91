#include "alerts/observations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard::alerts {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class ObservationsTest : public ::testing::Test {
 protected:
  static telemetry::Event event(const std::string& type, const std::string& model,
                                std::map<std::string, std::string> text,
                                std::map<std::string, double> numbers = {}) {
    telemetry::Event event;
    event.type = type;
    event.model = model;
    event.version = "1";
    event.text = std::move(text);
    event.numbers = std::move(numbers);
    return event;
  }
  /// The readings of one rule.
  std::vector<Reading> of(Rule rule) {
    std::vector<Reading> found;
    for (Reading& reading : seen_.readings(rules_)) {
      if (reading.rule == rule) found.push_back(std::move(reading));
    }
    return found;
  }
  RuleSettings& settings(Rule rule) { return rules_.at(static_cast<std::size_t>(rule)); }

  FakeClock clock_;
  Rules rules_ = default_rules();
  Observations seen_{clock_};
};

TEST_F(ObservationsTest, LatencyIsThatOfStreamedRepliesFromTheEngineOn) {
  for (int i = 0; i < 3; ++i) seen_.request({.model = "m", .queued = 30s, .first_token = 100ms});
  seen_.request({.model = "m", .queued = 0s});  // not streamed: says nothing of it
  seen_.request({.model = "m", .first_token = 2s});
  EXPECT_THAT(of(Rule::kInferenceLatency), IsEmpty()) << "four are too few";
  seen_.request({.model = "m", .first_token = 100ms});
  EXPECT_THAT(of(Rule::kInferenceLatency), ElementsAre(Reading{Rule::kInferenceLatency, "m", 2}));
  EXPECT_THAT(of(Rule::kQueueWait), ElementsAre(Reading{Rule::kQueueWait, "m", 30}));
}

TEST_F(ObservationsTest, WhatIsOlderThanTheWindowDoesNotCount) {
  settings(Rule::kErrorRate).window = 60s;
  for (int i = 0; i < 10; ++i) seen_.request({.model = "m", .failed = true});
  EXPECT_THAT(of(Rule::kErrorRate), ElementsAre(Reading{Rule::kErrorRate, "m", 1}));
  clock_.advance(30s);
  for (int i = 0; i < 30; ++i) seen_.request({.model = "m"});
  EXPECT_THAT(of(Rule::kErrorRate), ElementsAre(Reading{Rule::kErrorRate, "m", 0.25}));
  clock_.advance(31s);
  EXPECT_THAT(of(Rule::kErrorRate), ElementsAre(Reading{Rule::kErrorRate, "m", 0}));
  clock_.advance(60s);
  EXPECT_THAT(of(Rule::kErrorRate), IsEmpty());
}

TEST_F(ObservationsTest, TheLongestLoadCountsAndOneThatRunsToo) {
  const auto load = [&](const char* model, double ms) {
    seen_.event(event("state", model, {{"to", "loading"}}));
    seen_.event(event("state", model, {{"to", "warming"}}));
    seen_.event(event("state", model, {{"to", "hot"}}, {{"load_ms", ms}}));
  };
  load("a", 1500);
  load("a", 500);
  load("b", 200);
  EXPECT_THAT(of(Rule::kModelLoadTime), UnorderedElementsAre(Reading{Rule::kModelLoadTime, "a", 1.5},
                                                             Reading{Rule::kModelLoadTime, "b", 0.2}));
  seen_.event(event("state", "a", {{"to", "loading"}}));
  seen_.event(event("state", "c", {{"to", "loading"}}));
  clock_.advance(20s);
  EXPECT_THAT(of(Rule::kModelLoadTime), UnorderedElementsAre(Reading{Rule::kModelLoadTime, "a", 20},
                                                             Reading{Rule::kModelLoadTime, "b", 0.2},
                                                             Reading{Rule::kModelLoadTime, "c", 20}));
  seen_.event(event("state", "a", {{"to", "failed"}}));
  seen_.event(event("state", "c", {{"to", "cold"}}));
  EXPECT_THAT(of(Rule::kModelLoadTime), UnorderedElementsAre(Reading{Rule::kModelLoadTime, "a", 1.5},
                                                             Reading{Rule::kModelLoadTime, "b", 0.2}));
}

TEST_F(ObservationsTest, SwitchesThatWereCalledOffAreNoFailures) {
  for (const char* result : {"ok", "ok", "ok", "cancelled", "superseded", "failed"})
    seen_.event(event("alias", "m", {{"result", result}}));
  EXPECT_THAT(of(Rule::kSwitchSuccess), ElementsAre(Reading{Rule::kSwitchSuccess, "", 0.75}));
}

TEST_F(ObservationsTest, AnEngineThatFollowsABrokenOneIsARestart) {
  const auto moved = [&](const char* from, const char* to, const char* cause) {
    seen_.event(event("state", "m", {{"from", from}, {"to", to}, {"cause", cause}}));
  };
  moved("loading", "failed", "the load failed");
  moved("warming", "hot", "answers");
  EXPECT_THAT(of(Rule::kEngineRestarts), IsEmpty()) << "there was none before";
  for (int i = 0; i < 3; ++i) {
    moved("hot", "failed", "broken");
    moved("warming", "hot", "answers");
  }
  EXPECT_THAT(of(Rule::kEngineRestarts), ElementsAre(Reading{Rule::kEngineRestarts, "m", 3}));
  moved("hot", "failed", "broken");
  moved("failed", "cold", "request");
  moved("warming", "hot", "answers");
  EXPECT_THAT(of(Rule::kEngineRestarts), ElementsAre(Reading{Rule::kEngineRestarts, "m", 3}))
      << "asked for anew";
}

TEST_F(ObservationsTest, GaugesAreAveragedAndMayBeUnknown) {
  seen_.gauges({.memory_used = 0.5});
  seen_.gauges({.memory_used = 0.7});
  EXPECT_THAT(of(Rule::kMemory), ElementsAre(Reading{Rule::kMemory, "", 0.6}));
  EXPECT_THAT(of(Rule::kMemoryBudget), IsEmpty());
}

TEST_F(ObservationsTest, ARuleThatIsOffHasNoValue) {
  settings(Rule::kMemory).off = true;
  settings(Rule::kModelLoadTime).off = true;
  seen_.gauges({.memory_used = 0.5});
  seen_.event(event("state", "a", {{"to", "loading"}}));
  EXPECT_THAT(seen_.readings(rules_), IsEmpty());
}

}  // namespace
}  // namespace switchyard::alerts
