#include <latch>
#include <thread>

#include "traffic/alias_table.h"
#include "traffic/traffic_fixture.h"

namespace switchyard::traffic {
namespace {

using namespace std::chrono_literals;
using models::State;
using models::VersionRef;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::SwitcherTest;

TEST_F(SwitcherTest, AnAliasFlipsWhenTheNewVersionIsHotAndTheOldOneIsParked) {
  const auto told = ask("chat", "b@1", {.who = "me", .why = "better"});
  EXPECT_EQ(means("chat"), kA) << "not before the new one is hot";
  executor_.run_all();
  ASSERT_EQ(told->times, 1);
  EXPECT_EQ(told->report.outcome, Outcome::kOk);
  EXPECT_EQ(means("chat"), kB);
  EXPECT_EQ(state(kA), State::kParked);
  EXPECT_EQ(state(kB), State::kHot);
  EXPECT_THAT(phases(told->report), ElementsAre("admit", "load", "probe", "flip", "drain", "settle"));
  const auto history = switcher_->history("chat", 10).value();
  ASSERT_EQ(history.size(), 1U);
  EXPECT_EQ(history[0].who, "me");
  EXPECT_EQ(history[0].why, "better");
  EXPECT_EQ(history[0].from, kA);
  EXPECT_EQ(history[0].to, kB);
  EXPECT_EQ(history[0].outcome, Outcome::kOk);
  EXPECT_EQ(history[0].phases.size(), 6U);
}

TEST_F(SwitcherTest, EachPhaseIsToldWithItsDuration) {
  world_.during_load([this](const std::string&, const std::stop_token&) { clock_.advance(300ms); });
  const auto told = ask_and_run("chat", "b@1");
  std::vector<std::string> begun, ended;
  for (const auto& event : seen_) {
    if (event.type != "switch") continue;
    const std::string status = event.text.at("status");
    if (status == "begun") begun.push_back(event.text.at("phase"));
    if (status == "ended") ended.push_back(event.text.at("phase"));
    if (event.text.at("phase") == "load" && status == "ended") {
      EXPECT_EQ(event.numbers.at("duration_ms"), 300);
    }
  }
  EXPECT_THAT(begun, ElementsAre("admit", "load", "probe", "flip", "drain", "settle"));
  EXPECT_EQ(begun, ended);
  EXPECT_EQ(seen_.back().text.at("status"), "ok");
}

TEST_F(SwitcherTest, RequestsOnTheOldVersionEndWhole) {
  auto lease = manager_->acquire_blocking(kA);
  ASSERT_TRUE(lease);
  const auto told = ask_and_run("chat", "b@1");
  EXPECT_EQ(means("chat"), kB);
  EXPECT_EQ(state(kA), State::kDraining);
  EXPECT_EQ(told->times, 0) << "it waits for the drain";
  lease->release();
  executor_.run_all();
  EXPECT_EQ(state(kA), State::kParked);
  EXPECT_EQ(told->times, 1);
}

TEST_F(SwitcherTest, AtTheDrainTimeoutItIsReportedAndTheOldVersionGoesOn) {
  auto lease = manager_->acquire_blocking(kA);
  const auto told = ask_and_run("chat", "b@1", {.drain_timeout = 5s});
  pass(4s);
  EXPECT_EQ(told->times, 0);
  pass(1s);
  ASSERT_EQ(told->times, 1);
  EXPECT_EQ(told->report.outcome, Outcome::kOk);
  EXPECT_TRUE(told->report.still_draining);
  EXPECT_EQ(told->report.draining_leases, 1U);
  EXPECT_FALSE(lease->revoked().stop_requested());
  EXPECT_EQ(state(kA), State::kDraining);
  lease->release();
  executor_.run_all();
  EXPECT_EQ(state(kA), State::kParked);
}

TEST_F(SwitcherTest, ForceEndsWhatIsLeftAtTheDrainTimeout) {
  auto lease = manager_->acquire_blocking(kA);
  const auto told = ask_and_run("chat", "b@1", {.drain_timeout = 5s, .force = true});
  EXPECT_FALSE(lease->revoked().stop_requested());
  pass(5s);
  EXPECT_TRUE(lease->revoked().stop_requested());
  lease->release();
  executor_.run_all();
  ASSERT_EQ(told->times, 1);
  EXPECT_FALSE(told->report.still_draining);
}

TEST_F(SwitcherTest, TheOldVersionIsKeptAsAsked) {
  ask_and_run("chat", "b@1", {.keep_old = KeepOld::kHot});
  EXPECT_EQ(state(kA), State::kHot);
  ask_and_run("chat", "a@1", {.keep_old = KeepOld::kCold});
  EXPECT_EQ(state(kB), State::kCold);
}

TEST_F(SwitcherTest, AFailureBeforeTheFlipLeavesTheOldVersionServing) {
  world_.fail_load("b", Error{ErrorCode::kInternal, "broken"});
  const auto told = ask_and_run("chat", "b@1");
  ASSERT_EQ(told->times, 1);
  EXPECT_EQ(told->report.outcome, Outcome::kFailed);
  EXPECT_EQ(told->report.phase, Phase::kLoad);
  EXPECT_EQ(told->report.serving, kA);
  EXPECT_THAT(told->report.error->message, HasSubstr("loading 'b@1' failed, 'a@1' goes on serving: broken"));
  EXPECT_EQ(means("chat"), kA);
  EXPECT_EQ(state(kA), State::kHot);
  EXPECT_THAT(history("chat"), ElementsAre("switch a@1 b@1 failed"));
}

TEST_F(SwitcherTest, WhatCannotBeRecordedIsNotDone) {
  ASSERT_TRUE(state_.with([](store::Database& database) {
    return database.execute(
        "CREATE TRIGGER no BEFORE INSERT ON aliases BEGIN SELECT RAISE(ABORT, 'disk full'); END");
  }));
  const auto told = ask_and_run("chat", "b@1");
  EXPECT_EQ(told->report.error->code, ErrorCode::kUnavailable);
  EXPECT_EQ(means("chat"), kA);
  EXPECT_THAT(history("chat"), ElementsAre("switch a@1 b@1 failed"));
}

TEST_F(SwitcherTest, AVersionThatAnotherAliasNeedsStaysHot) {
  ASSERT_TRUE(switcher_->define({{"chat", kA}, {"code", kA}}));
  ask_and_run("chat", "b@1");
  EXPECT_EQ(state(kA), State::kHot);
  ask_and_run("code", "b@1");
  EXPECT_EQ(state(kA), State::kParked);
}

TEST_F(SwitcherTest, TheOldVersionIsNotEvictedForTheNewOne) {
  set_limits(1);
  const auto told = ask_and_run("chat", "b@1");
  ASSERT_EQ(told->times, 1);
  EXPECT_EQ(told->report.error->code, ErrorCode::kDoesNotFit);
  EXPECT_THAT(told->report.error->message, HasSubstr("resource_preserving"));
  EXPECT_EQ(told->report.phase, Phase::kAdmit);
  EXPECT_EQ(state(kA), State::kHot);
}

TEST_F(SwitcherTest, ANewerSwitchSupersedesOneThatHasNotFlipped) {
  const auto first = ask("chat", "b@1");
  executor_.run_one();
  const auto second = ask("chat", "m@1");
  executor_.run_all();
  ASSERT_EQ(first->times, 1);
  EXPECT_EQ(first->report.outcome, Outcome::kSuperseded);
  EXPECT_EQ(first->report.error->code, ErrorCode::kConflict);
  EXPECT_THAT(first->report.error->message, HasSubstr("superseded by one to 'm@1'"));
  EXPECT_EQ(second->report.outcome, Outcome::kOk);
  EXPECT_EQ(means("chat"), kM1);
  EXPECT_EQ(state(kB), State::kCold) << "its load is not wanted any more";
  EXPECT_THAT(history("chat"), ElementsAre("switch a@1 m@1 ok", "switch a@1 b@1 superseded"));
}

TEST_F(SwitcherTest, ASwitchBackDoesNotWaitForTheDrain) {
  auto lease = manager_->acquire_blocking(kA);
  const auto there = ask_and_run("chat", "b@1");
  EXPECT_EQ(state(kA), State::kDraining);
  const auto back = roll_back("chat");
  EXPECT_EQ(means("chat"), kA);
  EXPECT_EQ(state(kA), State::kHot);
  EXPECT_EQ(there->times, 1);
  EXPECT_EQ(back->report.outcome, Outcome::kOk);
  EXPECT_FALSE(lease->revoked().stop_requested());
}

TEST_F(SwitcherTest, ASwitchCanBeCancelled) {
  const auto told = ask("chat", "b@1");
  executor_.run_one();
  std::optional<Status> cancelled;
  switcher_->cancel("chat", [&](const Status& status) { cancelled = status; });
  executor_.run_all();
  ASSERT_TRUE(cancelled && cancelled->has_value());
  EXPECT_EQ(told->report.outcome, Outcome::kCancelled);
  EXPECT_EQ(means("chat"), kA);
  EXPECT_EQ(state(kB), State::kCold);
  switcher_->cancel("chat", [&](const Status& status) { cancelled = status; });
  executor_.run_all();
  EXPECT_EQ(cancelled->error().code, ErrorCode::kConflict);
}

TEST_F(SwitcherTest, RollbacksGoOneFurtherBackEachTime) {
  ask_and_run("chat", "b@1");
  ask_and_run("chat", "m@1");
  EXPECT_THAT(switcher_->describe("chat")->previous, ElementsAre(kB, kA));
  EXPECT_EQ(means("chat@previous"), kB);
  EXPECT_EQ(roll_back("chat")->report.outcome, Outcome::kOk);
  EXPECT_EQ(means("chat"), kB);
  EXPECT_EQ(roll_back("chat")->report.outcome, Outcome::kOk);
  EXPECT_EQ(means("chat"), kA) << "not back to what the first rollback left";
  EXPECT_EQ(roll_back("chat")->report.error->code, ErrorCode::kConflict);
  EXPECT_THAT(history("chat"), ElementsAre("rollback b@1 a@1 ok", "rollback m@1 b@1 ok",
                                           "switch b@1 m@1 rolled_back", "switch a@1 b@1 rolled_back"));
}

TEST_F(SwitcherTest, AFailedRollbackCanBeTriedAgain) {
  ask_and_run("chat", "b@1", {.keep_old = KeepOld::kCold});
  world_.fail_load("a", Error{ErrorCode::kInternal, "broken"});
  EXPECT_EQ(roll_back("chat")->report.outcome, Outcome::kFailed);
  EXPECT_EQ(means("chat"), kB);
  world_.fail_load("a", std::nullopt);
  clock_.advance(10s);
  EXPECT_EQ(roll_back("chat")->report.outcome, Outcome::kOk);
  EXPECT_EQ(means("chat"), kA);
}

TEST_F(SwitcherTest, WhatNeverAnsweredIsNotRolledBackTo) {
  ASSERT_TRUE(switcher_->define({{"chat", kA}, {"lazy", kM1}}));
  ask_and_run("lazy", "b@1");
  EXPECT_EQ(means("lazy"), kB);
  EXPECT_EQ(roll_back("lazy")->report.error->code, ErrorCode::kConflict);
}

TEST_F(SwitcherTest, ResourcePreservingLetsTheOldOneGoFirstAndHoldsRequests) {
  set_limits(1);
  auto lease = manager_->acquire_blocking(kA);
  const auto told = ask_and_run("chat", "b@1", {.policy = Policy::kResourcePreserving});
  std::vector<Result<VersionRef>> routed;
  switcher_->route("chat", "", [&](Result<VersionRef> ref) { routed.push_back(std::move(ref)); });
  executor_.run_all();
  EXPECT_THAT(routed, IsEmpty()) << "held, not failed";
  EXPECT_EQ(state(kA), State::kDraining);
  lease->release();
  executor_.run_all();
  ASSERT_EQ(told->times, 1);
  EXPECT_EQ(told->report.outcome, Outcome::kOk);
  EXPECT_EQ(state(kB), State::kHot);
  ASSERT_EQ(routed.size(), 1U);
  EXPECT_EQ(routed[0], kB);
  EXPECT_THAT(phases(told->report), ElementsAre("admit", "drain", "settle", "load", "probe", "flip"));
  switcher_->route("chat", "", [&](Result<VersionRef> ref) { routed.push_back(std::move(ref)); });
  EXPECT_EQ(routed.size(), 2U) << "at once";
}

TEST_F(SwitcherTest, ResourcePreservingBringsTheOldOneBackWhenTheNewOneFails) {
  set_limits(1);
  world_.fail_load("b", Error{ErrorCode::kInternal, "broken"});
  const auto told = ask("chat", "b@1", {.policy = Policy::kResourcePreserving});
  executor_.run_one();
  std::vector<Result<VersionRef>> routed;
  switcher_->route("chat", "", [&](Result<VersionRef> ref) { routed.push_back(std::move(ref)); });
  executor_.run_all();
  EXPECT_EQ(told->report.outcome, Outcome::kFailed);
  EXPECT_THAT(told->report.error->message, HasSubstr("broken"));
  EXPECT_EQ(told->report.serving, kA);
  ASSERT_EQ(routed.size(), 1U);
  EXPECT_EQ(routed[0], kA);
  EXPECT_EQ(state(kA), State::kHot);
}

TEST_F(SwitcherTest, ResourcePreservingDoesNotTouchTheOldOneForABadFile) {
  world_.fail_inspection("b", Error{ErrorCode::kCorruptFile, "truncated"});
  const auto told = ask_and_run("chat", "b@1", {.policy = Policy::kResourcePreserving});
  EXPECT_EQ(told->report.error->code, ErrorCode::kCorruptFile);
  EXPECT_EQ(told->report.phase, Phase::kAdmit);
  for (const auto& event : seen_) EXPECT_FALSE(event.type == "state" && event.model == "a");
}

TEST_F(SwitcherTest, ResourcePreservingGivesUpWhenTheOldOneIsBusyTooLong) {
  auto lease = manager_->acquire_blocking(kA);
  const auto told = ask_and_run("chat", "b@1", {.policy = Policy::kResourcePreserving, .drain_timeout = 5s});
  EXPECT_EQ(state(kA), State::kDraining);
  pass(5s);
  ASSERT_EQ(told->times, 1);
  EXPECT_EQ(told->report.error->code, ErrorCode::kTimeout);
  EXPECT_EQ(told->report.phase, Phase::kDrain);
  EXPECT_EQ(state(kA), State::kHot) << "its drain is called off";
  EXPECT_EQ(means("chat"), kA);
}

TEST_F(SwitcherTest, AnAliasIsMadeByASwitchAndRemoved) {
  const auto made = ask({.alias = "new", .to = "m@2", .when_missing = WhenMissing::kMake});
  EXPECT_FALSE(switcher_->resolve("new"));
  executor_.run_all();
  EXPECT_EQ(made->report.kind, Kind::kCreate);
  EXPECT_EQ(means("new"), kM2);
  EXPECT_EQ(state(kM2), State::kHot) << "loaded and proven first";
  std::optional<Status> removed;
  switcher_->remove("new", {}, [&](const Status& status) { removed = status; });
  executor_.run_all();
  EXPECT_TRUE(removed && *removed);
  EXPECT_FALSE(switcher_->resolve("new"));
  EXPECT_THAT(history("new"), ElementsAre("remove m@2 @ ok", "create @ m@2 ok"));
  restart({{"chat", kA}});
  EXPECT_FALSE(switcher_->resolve("new"));
}

TEST_F(SwitcherTest, AnAliasThatCannotBeLoadedIsNotMade) {
  world_.fail_load("b", Error{ErrorCode::kInternal, "broken"});
  const auto made = ask({.alias = "new", .to = "b", .when_missing = WhenMissing::kMake});
  executor_.run_all();
  EXPECT_THAT(made->report.error->message, HasSubstr("there is no such alias"));
  EXPECT_FALSE(switcher_->resolve("new"));
  EXPECT_FALSE(switcher_->describe("new"));
}

TEST_F(SwitcherTest, WhatIsNotThereIsRefused) {
  EXPECT_EQ(ask_and_run("other", "b@1")->report.error->code, ErrorCode::kNotFound);
  EXPECT_EQ(ask_and_run("chat", "b@9")->report.error->code, ErrorCode::kNotFound);
  EXPECT_EQ(ask_and_run("m@1", "m@2")->report.error->code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(switcher_->define({{"x", {"nobody", "1"}}}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(switcher_->define({{"a", kB}}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(switcher_->define({{"x", kA}, {"x", kB}}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(switcher_->define({{"x@1", kA}}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(means("chat"), kA);
  EXPECT_THAT(history("chat"), IsEmpty());
}

TEST_F(SwitcherTest, ASwitchInProgressIsCancelledAtTheEnd) {
  const auto told = ask("chat", "b@1");
  executor_.run_one();
  switcher_.reset();
  ASSERT_EQ(told->times, 1);
  EXPECT_EQ(told->report.error->code, ErrorCode::kCancelled);
}

TEST_F(SwitcherTest, WhereAnAliasWasMovedOutlivesTheServer) {
  ask_and_run("chat", "b@1");
  ask_and_run("chat", "m@1");
  restart({{"chat", kA}});
  EXPECT_EQ(means("chat"), kM1) << "the config's line did not change";
  EXPECT_EQ(roll_back("chat")->report.outcome, Outcome::kOk);
  EXPECT_EQ(means("chat"), kB);
  restart({{"chat", kM2}});
  EXPECT_EQ(means("chat"), kM2) << "a changed line counts";
  restart({});
  EXPECT_FALSE(switcher_->resolve("chat"));
}

TEST_F(SwitcherTest, ARemovedAliasStaysAwayUntilItsLineChanges) {
  switcher_->remove("chat", {}, [](const Status&) {});
  executor_.run_all();
  restart({{"chat", kA}});
  EXPECT_FALSE(switcher_->resolve("chat"));
  restart({{"chat", kB}});
  EXPECT_EQ(means("chat"), kB);
}

TEST_F(SwitcherTest, AChangedLineIsASwitchWhileTheServerRuns) {
  ASSERT_TRUE(switcher_->define({{"chat", kB}}));
  EXPECT_EQ(means("chat"), kA);
  executor_.run_all();
  EXPECT_EQ(means("chat"), kB);
  EXPECT_THAT(history("chat"), ElementsAre("config a@1 b@1 ok"));
  restart({{"chat", kB}});
  EXPECT_EQ(means("chat"), kB);
}

TEST_F(SwitcherTest, AnAliasRestsWhileItsVersionIsNotThere) {
  const auto made = ask({.alias = "new", .to = "m@2", .when_missing = WhenMissing::kMake});
  executor_.run_all();
  ASSERT_TRUE(manager_->set_catalog({catalog_[0], catalog_[1]}, models::Manager::Preload::kNone));
  restart({{"chat", kA}});
  EXPECT_FALSE(switcher_->resolve("new"));
  ASSERT_TRUE(manager_->set_catalog(catalog_, models::Manager::Preload::kNone));
  ASSERT_TRUE(switcher_->define({{"chat", kA}}));
  EXPECT_EQ(means("new"), kM2);
}

TEST_F(SwitcherTest, ABareNameMeansItsNewestVersionUntilOneHasAnswered) {
  EXPECT_EQ(means("m"), kM3);
  EXPECT_EQ(means("m@latest"), kM3);
  ASSERT_TRUE(manager_->load(kM3));
  executor_.run_all();
  EXPECT_EQ(means("m"), kM3);
  catalog_[2] = testing::model_with("m", {"1", "2", "3", "4"});
  ASSERT_TRUE(manager_->set_catalog(catalog_, models::Manager::Preload::kNone));
  ASSERT_TRUE(switcher_->define({{"chat", kA}}));
  EXPECT_EQ(means("m"), kM3) << "the new one has not answered yet";
  EXPECT_EQ(means("m@latest"), (VersionRef{"m", "4"}));
  executor_.run_all();
  EXPECT_EQ(means("m"), (VersionRef{"m", "4"})) << "in the background, as 3 is in memory";
  EXPECT_EQ(state(kM3), State::kParked);
  EXPECT_THAT(history("m"), ElementsAre("upgrade m@3 m@4 ok"));
  EXPECT_EQ(roll_back("m")->report.outcome, Outcome::kOk);
  EXPECT_EQ(means("m"), kM3);
  restart({{"chat", kA}});
  EXPECT_EQ(means("m"), kM3) << "it was decided against 4";
}

TEST_F(SwitcherTest, ABareNameStaysWithTheOldVersionWhenTheNewOneFails) {
  ASSERT_TRUE(manager_->load(kM3));
  executor_.run_all();
  ASSERT_TRUE(manager_->unload(kM3));
  executor_.run_all();
  catalog_[2] = testing::model_with("m", {"1", "2", "3", "4"});
  ASSERT_TRUE(manager_->set_catalog(catalog_, models::Manager::Preload::kNone));
  ASSERT_TRUE(switcher_->define({{"chat", kA}}));
  executor_.run_all();
  EXPECT_EQ(means("m"), kM3);
  world_.fail_load("m", Error{ErrorCode::kInternal, "broken"});
  std::vector<Result<VersionRef>> routed;
  switcher_->route("m", "", [&](Result<VersionRef> ref) { routed.push_back(std::move(ref)); });
  EXPECT_THAT(routed, IsEmpty()) << "the next use tries the new one first";
  executor_.run_all();
  ASSERT_EQ(routed.size(), 1U);
  EXPECT_EQ(routed[0], kM3);
  EXPECT_THAT(history("m"), ElementsAre("upgrade m@3 m@4 failed"));
  switcher_->route("m", "", [&](Result<VersionRef> ref) { routed.push_back(std::move(ref)); });
  EXPECT_EQ(routed.size(), 2U) << "and is not tried again";
}

TEST_F(SwitcherTest, AVersionThatComesWhileAnotherFailsIsTriedToo) {
  ASSERT_TRUE(manager_->load(kM3));
  executor_.run_all();
  world_.fail_load("m", Error{ErrorCode::kInternal, "broken"});
  const auto add = [&](const std::vector<std::string>& versions) {
    catalog_[2] = testing::model_with("m", versions);
    ASSERT_TRUE(manager_->set_catalog(catalog_, models::Manager::Preload::kNone));
    ASSERT_TRUE(switcher_->define({{"chat", kA}}));
  };
  add({"1", "2", "3", "4"});
  executor_.run_one();  // the upgrade to 4 has begun
  add({"1", "2", "3", "4", "5"});
  executor_.run_all();
  EXPECT_THAT(history("m"), ElementsAre("upgrade m@3 m@4 failed"));
  world_.fail_load("m", std::nullopt);
  switcher_->route("m", "", [](const Result<VersionRef>&) {});
  executor_.run_all();
  EXPECT_EQ(means("m"), (VersionRef{"m", "5"}));
}

TEST_F(SwitcherTest, ABareNameMovesToItsOwnVersionsOnly) {
  EXPECT_EQ(ask_and_run("m", "m@1")->report.outcome, Outcome::kOk);
  EXPECT_EQ(means("m"), kM1);
  EXPECT_EQ(ask_and_run("m", "b@1")->report.error->code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ask_and_run("m", "m")->report.outcome, Outcome::kOk);
  EXPECT_EQ(means("m"), kM3) << "itself: its newest version";
  std::optional<Status> removed;
  switcher_->remove("m", {}, [&](const Status& status) { removed = status; });
  executor_.run_all();
  EXPECT_EQ(removed->error().code, ErrorCode::kConflict);
}

TEST_F(SwitcherTest, APreviewSaysWhatASwitchWouldDo) {
  const auto preview = [&](Policy policy) {
    std::optional<Result<SwitchPreview>> told;
    switcher_->preview({.alias = "chat", .to = "b@1", .options = {.policy = policy}},
                       [&](Result<SwitchPreview> result) { told = std::move(result); });
    executor_.run_all();
    return told->value();
  };
  SwitchPreview roomy = preview(Policy::kAvailabilityPreserving);
  EXPECT_EQ(roomy.from, kA);
  EXPECT_EQ(roomy.load.needs, ByteSize::mib(100));
  EXPECT_THAT(roomy.load.evicts, IsEmpty());
  EXPECT_EQ(roomy.old_to, models::Residency::kParked);
  EXPECT_GT(roomy.expected, 0ms);
  set_limits(1);
  EXPECT_TRUE(preview(Policy::kAvailabilityPreserving).load.refusal);
  EXPECT_FALSE(preview(Policy::kResourcePreserving).load.refusal);
  set_limits(2);
  ASSERT_TRUE(manager_->load(kM1));
  executor_.run_all();
  clock_.advance(10s);
  const SwitchPreview crowded = preview(Policy::kAvailabilityPreserving);
  ASSERT_EQ(crowded.load.evicts.size(), 1U);
  EXPECT_EQ(crowded.load.evicts[0].ref, kM1);
  EXPECT_EQ(state(kA), State::kHot);
  EXPECT_EQ(state(kM1), State::kHot) << "only asked";
}

TEST(AliasTable, ReadersSeeOneVersionOrTheOtherWhileItMoves) {
  const VersionRef a{"a", "1"}, b{"b", "1"};
  AliasTable table;
  table.set({{"chat", {.to = a}}});
  std::jthread writer([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      table.set({{"chat", {.to = b}}});
      table.set({{"chat", {.to = a}}});
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const auto seen = table.find("chat");
    ASSERT_TRUE(seen && (seen->to == a || seen->to == b));
  }
}

}  // namespace
}  // namespace switchyard::traffic
