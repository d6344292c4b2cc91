#include "health/monitor.h"

#include <gmock/gmock.h>

#include <optional>

#include "models/manager_fixture.h"

namespace switchyard::health {
namespace {

using namespace std::chrono_literals;
using models::State;
using models::testing::Answer;
using models::testing::model_called;
using models::testing::ref;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Error kDied{ErrorCode::kUnavailable, "its worker died"};

class MonitorTest : public models::testing::ManagerTest {
 public:
  ~MonitorTest() override {
    answers_.clear();
    executor_.run_inline();
    monitor_.reset();
  }

 protected:
  void watch(const models::ModelSettings& settings = {}) {
    start({model_called("a", settings)});
    monitor_.emplace(Monitor::Dependencies{.manager = *manager_,
                                           .executor = executor_,
                                           .events = events_,
                                           .random = [] { return 0.0; },
                                           .clock = clock_});
  }
  /// A second passes, and what follows happens.
  void pass_and_tick(Duration time) {
    pass(time);
    monitor_->tick();
    executor_.run_all();
  }
  /// Probes of "a" take so long and then end so.
  void probes_take(Duration time, const Status& end = {}) {
    world_.answer_probes("a", [this, time, end] {
      clock_.advance(time);
      return end;
    });
  }
  VersionHealth health() { return monitor_->list().at(ref("a")); }
  void break_it() {
    ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied));
    executor_.run_all();
  }
  std::vector<std::string> told() {
    std::vector<std::string> words;
    for (const auto& event : seen_) {
      if (event.type == "health") words.push_back(event.text.at("to"));
    }
    return words;
  }

  std::optional<Monitor> monitor_;
};

TEST_F(MonitorTest, AProbeComesAfterEachLoadAndThenAtIntervals) {
  watch();
  use("a");
  EXPECT_EQ(health().health, Health::kUnknown);
  probes_take(20ms);
  pass_and_tick(1s);
  EXPECT_EQ(world_.probes("a"), 1);
  EXPECT_EQ(health().health, Health::kHealthy);
  EXPECT_EQ(health().latency, 20ms);
  EXPECT_THAT(told(), ElementsAre("healthy"));
  pass_and_tick(59s);
  EXPECT_EQ(world_.probes("a"), 1);
  pass_and_tick(1s);
  EXPECT_EQ(world_.probes("a"), 2);
  EXPECT_THAT(told(), ElementsAre("healthy")) << "only changes are told";
  EXPECT_EQ(health().history.size(), 2U);
}

TEST_F(MonitorTest, RepliesToUsersAreProofAndWhoeverIsAtWorkForThemIsNotProbed) {
  watch();
  Answer& user = ask_and_run("a");
  world_.activity("a")->begin();
  for (int minutes = 0; minutes < 10; ++minutes) {
    world_.activity("a")->beat();
    pass_and_tick(30s);
  }
  EXPECT_EQ(world_.probes("a"), 0);
  world_.activity("a")->end();
  monitor_->note_reply(ref("a"), 50ms);
  user.lease.release();
  pass_and_tick(59s);
  EXPECT_EQ(world_.probes("a"), 0);
  EXPECT_EQ(health().health, Health::kHealthy);
  EXPECT_THAT(told(), ElementsAre("healthy"));
  pass_and_tick(1s);
  EXPECT_EQ(world_.probes("a"), 1);
}

TEST_F(MonitorTest, AnEngineThatTakesUpNothingIsReplacedThoughSomebodyWaits) {
  watch();
  use("a");
  pass_and_tick(1s);
  ASSERT_EQ(health().health, Health::kHealthy);
  Answer& user = ask_and_run("a");
  world_.answer_probes("a", [] { return fail(ErrorCode::kTimeout, "no answer"); });
  for (int i = 0; i < 3; ++i) {
    ASSERT_FALSE(user.lease.broken());
    pass_and_tick(60s);
  }
  EXPECT_EQ(world_.probes("a"), 4);
  EXPECT_TRUE(user.lease.broken()) << "its process may have been stopped before it had anything to do";
}

TEST_F(MonitorTest, AProbeKeepsNobodyFromBeingParkedForIdleness) {
  watch({.park_after = 90s});
  use("a");
  pass_and_tick(1s);
  pass_and_tick(60s);
  EXPECT_EQ(world_.probes("a"), 2);
  pass_and_tick(29s);
  EXPECT_EQ(state("a"), State::kParked);
}

TEST_F(MonitorTest, SlowIsDegradedThenFailedAndNotRestarted) {
  watch();
  use("a");
  probes_take(2s);
  pass_and_tick(1s);
  EXPECT_EQ(health().health, Health::kDegraded);
  world_.answer_probes("a", [this]() -> Status {
    world_.activity("a")->beat();  // it works at it
    clock_.advance(5s);
    return fail(ErrorCode::kTimeout, "no answer within 5000 ms");
  });
  for (int i = 0; i < 5; ++i) pass_and_tick(60s);
  EXPECT_EQ(health().health, Health::kFailed);
  EXPECT_EQ(health().failed_probes, 5U);
  EXPECT_EQ(state("a"), State::kHot);
  EXPECT_EQ(world_.loads("a"), 1);
  EXPECT_THAT(told(), ElementsAre("degraded", "failed"));
}

TEST_F(MonitorTest, OneThatGivesNoSignOfLifeIsReplaced) {
  watch();
  use("a");
  probes_take(5s, fail(ErrorCode::kTimeout, "no answer within 5000 ms"));
  pass_and_tick(1s);
  pass_and_tick(60s);
  EXPECT_EQ(world_.loads("a"), 1);
  pass_and_tick(60s);
  EXPECT_EQ(world_.loads("a"), 2) << "at once, by itself";
  EXPECT_EQ(state("a"), State::kHot);
  EXPECT_EQ(health().restarts, 1U);
}

TEST_F(MonitorTest, AStuckDecodeEndsItsRepliesAndIsReplaced) {
  watch();
  Answer& user = ask_and_run("a");
  world_.activity("a")->begin();
  pass_and_tick(1s);
  pass_and_tick(59s);
  EXPECT_FALSE(user.lease.broken());
  pass_and_tick(1s);
  EXPECT_TRUE(user.lease.broken());
  EXPECT_THAT(seen_, Contains(::testing::Field(&telemetry::Event::text,
                                               Contains(std::pair<const std::string, std::string>(
                                                   "error",
                                                   "the engine of model 'a@1' was stuck: its work had "
                                                   "not gone on for 60 s")))));
  EXPECT_EQ(state("a"), State::kHot) << "beside what is left of it";
  EXPECT_EQ(health().restarts, 1U);
}

TEST_F(MonitorTest, WhatBrokeIsLoadedAgainByItselfLaterAndLater) {
  watch();
  use("a");
  break_it();
  EXPECT_EQ(state("a"), State::kHot);
  break_it();
  EXPECT_EQ(state("a"), State::kFailed);
  monitor_->tick();
  EXPECT_EQ(health().next_try_in, 1s);
  EXPECT_EQ(health().reason, "its worker died");
  pass_and_tick(1s);
  EXPECT_EQ(state("a"), State::kHot);
  EXPECT_EQ(health().restarts, 2U);
  EXPECT_EQ(health().failures, 2U);
}

TEST_F(MonitorTest, WhatFailsTooOftenIsQuarantinedUntilItIsReleased) {
  watch({.health = {.quarantine_after = 3}});
  use("a");
  break_it();
  break_it();
  pass_and_tick(1s);
  break_it();
  EXPECT_EQ(health().health, Health::kQuarantined);
  EXPECT_THAT(health().reason, HasSubstr("its worker died"));
  pass_and_tick(5min);
  EXPECT_EQ(world_.loads("a"), 3) << "nobody tries";
  EXPECT_THAT(ask_and_run("a").error->message, HasSubstr("switchyard release a@1"));
  EXPECT_EQ(manager_->load(ref("a")).error().code, ErrorCode::kUnavailable);
  EXPECT_FALSE(manager_->can_answer());
  ASSERT_TRUE(monitor_->release(ref("a")));
  EXPECT_EQ(monitor_->release(ref("a")).error().code, ErrorCode::kConflict);
  EXPECT_TRUE(manager_->can_answer());
  EXPECT_TRUE(ask_and_run("a").lease);
  EXPECT_EQ(health().failures, 0U);
}

TEST_F(MonitorTest, LoadsThatFailQuarantineToo) {
  watch({.health = {.quarantine_after = 2}});
  world_.fail_load("a", Error{ErrorCode::kInternal, "broken"});
  EXPECT_EQ(ask_and_run("a").error->message, "broken");
  pass_and_tick(10s);
  EXPECT_EQ(world_.loads("a"), 1) << "it was not answering: only demand loads it again";
  EXPECT_EQ(ask_and_run("a").error->message, "broken");
  EXPECT_EQ(health().health, Health::kQuarantined);
}

TEST_F(MonitorTest, ABadFileIsToldToWhoeverAsksAndNotQuarantined) {
  watch({.health = {.quarantine_after = 2}});
  world_.fail_inspection("a", Error{ErrorCode::kCorruptFile, "damaged"});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask_and_run("a").error->message, "damaged");
  world_.fail_inspection("a", std::nullopt);
  EXPECT_TRUE(ask_and_run("a").lease);
}

TEST_F(MonitorTest, AChangedFileEndsTheQuarantine) {
  watch({.health = {.quarantine_after = 1}});
  use("a");
  break_it();
  ASSERT_EQ(health().health, Health::kQuarantined);
  auto changed = model_called("a", {.health = {.quarantine_after = 1}});
  changed.versions[0].file_stamp = "another";
  ASSERT_TRUE(manager_->set_catalog({changed}, models::Manager::Preload::kNone));
  executor_.run_all();
  EXPECT_TRUE(monitor_->list().empty());
  EXPECT_TRUE(ask_and_run("a").lease);
}

TEST_F(MonitorTest, WhoUnloadsWhatFailedIsObeyed) {
  watch();
  use("a");
  break_it();
  break_it();
  ASSERT_TRUE(manager_->unload(ref("a")));
  pass_and_tick(1min);
  EXPECT_EQ(state("a"), State::kCold);
}

}  // namespace
}  // namespace switchyard::health
