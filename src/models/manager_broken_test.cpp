#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "models/manager_fixture.h"

namespace switchyard::models {
namespace {

using namespace std::chrono_literals;
using testing::Answer;
using ::testing::ElementsAre;
using testing::inspection_of;
using testing::ManagerTest;
using testing::model_called;
using testing::ref;

const Error kDied{ErrorCode::kUnavailable, "its worker died"};

class BrokenEngineTest : public ManagerTest {
 protected:
  ByteSize lost(const std::string& model) { return manager_->describe(model)->versions.back().lost; }
};

TEST_F(BrokenEngineTest, ItsLeasesAreRevokedAsBrokenAndItIsDestroyedWhenTheyAreBack) {
  start({model_called("a")});
  Answer& a = ask_and_run("a");
  ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied));
  EXPECT_TRUE(a.lease.revoked().stop_requested());
  EXPECT_TRUE(a.lease.broken());
  EXPECT_EQ(a.lease.why_broken()->message, "its worker died");
  EXPECT_EQ(state("a"), State::kFailed);
  EXPECT_EQ(manager_->describe("a")->versions[0].error->message, "its worker died");
  executor_.run_all();
  EXPECT_EQ(world_.alive("a"), 1) << "somebody still uses it";
  a.lease.release();
  executor_.run_all();
  EXPECT_EQ(world_.alive("a"), 0);
  EXPECT_EQ(manager_->reserved(), ByteSize());
  EXPECT_THAT(moves_of("a"), ElementsAre("loading", "warming", "hot", "failed"));
  EXPECT_EQ(seen_.back().text.at("error"), "its worker died");
}

TEST_F(BrokenEngineTest, ItLoadsAgainOnDemandBesideWhatIsLeftOfIt) {
  start({model_called("a")});
  Answer& first = ask_and_run("a");
  ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied));
  Answer& second = ask_and_run("a");
  ASSERT_TRUE(second.lease) << "room for one model, and the broken one takes no place";
  EXPECT_NE(&first.lease.engine(), &second.lease.engine());
  EXPECT_FALSE(second.lease.broken());
}

TEST_F(BrokenEngineTest, WithoutRoomBesideItLoadsWhenTheBrokenOneHasLeft) {
  limits_.memory_budget = ByteSize::mib(140);
  engine::Inspection inspection = inspection_of("a@1", 100);
  inspection.weights_key.clear();  // shares nothing, not even with itself
  world_.set_inspection("a", inspection);
  start({model_called("a")});
  Answer& first = ask_and_run("a");
  ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied));
  Answer& second = ask_and_run("a");
  EXPECT_EQ(second.times, 0);
  first.lease.release();
  executor_.run_all();
  EXPECT_TRUE(second.lease);
}

TEST_F(BrokenEngineTest, WhoWaitedForADrainingOneWaitsForTheNext) {
  start({model_called("a")});
  Answer& first = ask_and_run("a");
  ASSERT_TRUE(manager_->park(ref("a")));
  Answer& waiting = ask("a");
  ASSERT_EQ(state("a"), State::kDraining);
  ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied));
  executor_.run_all();
  EXPECT_TRUE(waiting.lease);
  EXPECT_FALSE(waiting.lease.broken());
  EXPECT_TRUE(first.lease.broken());
}

TEST_F(BrokenEngineTest, WeightsThatAreParkedCanBeLostToo) {
  start({model_called("a")});
  use("a");
  ASSERT_TRUE(manager_->park(ref("a")));
  executor_.run_all();
  ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied));
  executor_.run_all();
  EXPECT_EQ(state("a"), State::kFailed);
  EXPECT_EQ(manager_->reserved(), ByteSize());
  EXPECT_TRUE(ask_and_run("a").lease);
}

TEST_F(BrokenEngineTest, OneThatBreaksWhileItParksLeavesAltogether) {
  start({model_called("a")});
  use("a");
  ASSERT_TRUE(manager_->park(ref("a")));  // and nothing has run yet
  ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied));
  executor_.run_all();
  EXPECT_EQ(world_.alive("a"), 0);
  EXPECT_EQ(manager_->reserved(), ByteSize());
  EXPECT_TRUE(ask_and_run("a").lease);
}

TEST_F(BrokenEngineTest, TheFirstTimeItIsTriedAtOnceAndThenWithTheBackoff) {
  start({model_called("a")});
  use("a");
  ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied));
  executor_.run_all();
  use("a");
  ASSERT_EQ(state("a"), State::kHot);
  ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied));
  executor_.run_all();
  EXPECT_EQ(ask_and_run("a").error->message, "its worker died");
  pass(1s);
  use("a");
  ASSERT_EQ(state("a"), State::kHot);
  pass(limits_.retry_backoff_most);
  ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied));
  executor_.run_all();
  EXPECT_TRUE(ask_and_run("a").lease) << "it has worked for long";
}

TEST_F(BrokenEngineTest, TheEngineThatHasTakenItsPlaceIsLeftAlone) {
  start({model_called("a")});
  Answer& first = ask_and_run("a");
  const engine::Engine* const old = &first.lease.engine();
  ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied, old));
  EXPECT_TRUE(manager_->mark_broken(ref("a"), kDied, old)) << "said twice";
  Answer& second = ask_and_run("a");
  ASSERT_TRUE(second.lease);
  first.lease.release();
  executor_.run_all();
  EXPECT_EQ(manager_->mark_broken(ref("a"), kDied, old).error().code, ErrorCode::kConflict);
  EXPECT_EQ(state("a"), State::kHot);
}

TEST_F(BrokenEngineTest, OneThatDoesNotEndKeepsItsBytesAndNobodyWaitsForThem) {
  limits_.memory_budget = ByteSize::mib(140);
  start({model_called("a"), model_called("b")});
  use("a");
  world_.get_stuck("a", true);
  ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied));
  executor_.run_all();
  EXPECT_EQ(lost("a"), ByteSize::mib(100));
  EXPECT_EQ(manager_->reserved(), ByteSize::mib(100));
  EXPECT_EQ(ask_and_run("b").error->code, ErrorCode::kDoesNotFit);
  EXPECT_EQ(world_.alive("a"), 1);
  world_.get_stuck("a", false);  // or the fake would not be destroyed with its manager
}

TEST_F(BrokenEngineTest, LeasesThatDoNotComeBackAreLostUntilTheyDo) {
  start({model_called("a")});
  Answer& a = ask_and_run("a");
  ASSERT_TRUE(manager_->mark_broken(ref("a"), kDied));
  pass(limits_.lost_after - 1ms);
  EXPECT_EQ(lost("a"), ByteSize());
  pass(1ms);
  EXPECT_EQ(lost("a"), ByteSize::mib(100));
  a.lease.release();
  executor_.run_all();
  EXPECT_EQ(lost("a"), ByteSize());
  EXPECT_EQ(world_.alive("a"), 0);
}

TEST_F(BrokenEngineTest, WhatIsNotInMemoryCannotBreak) {
  start({model_called("a")});
  EXPECT_EQ(manager_->mark_broken(ref("a"), kDied).error().code, ErrorCode::kConflict);
  EXPECT_EQ(manager_->mark_broken(ref("x"), kDied).error().code, ErrorCode::kNotFound);
}

TEST_F(BrokenEngineTest, AQuarantinedOneIsLoadedByNobodyUntilItIsReleased) {
  start({model_called("a"), model_called("b")});
  world_.fail_load("a", Error{ErrorCode::kInternal, "broken"});
  ask_and_run("a");
  Answer& waiting = ask("a");
  ASSERT_TRUE(manager_->quarantine(ref("a"), "it fails"));
  ASSERT_TRUE(waiting.error);
  EXPECT_EQ(waiting.error->code, ErrorCode::kUnavailable);
  EXPECT_EQ(waiting.error->cause, "it fails");
  EXPECT_EQ(ask_and_run("a").error->code, ErrorCode::kUnavailable);
  EXPECT_EQ(manager_->load(ref("a")).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(manager_->standing(ref("a"))->in_trouble);
  EXPECT_TRUE(manager_->can_answer()) << "b may";
  EXPECT_EQ(world_.loads("a"), 1);
  ASSERT_TRUE(manager_->unload(ref("a")));
  EXPECT_TRUE(manager_->standing(ref("a"))->quarantined) << "unloading is no release";
  ASSERT_TRUE(manager_->end_quarantine(ref("a")));
  world_.fail_load("a", std::nullopt);
  EXPECT_TRUE(ask_and_run("a").lease);
  EXPECT_EQ(manager_->quarantine(ref("a"), "it fails").error().code, ErrorCode::kConflict);
}

TEST_F(BrokenEngineTest, AQuarantineCancelsALoad) {
  start({model_called("a")});
  world_.during_load([&](const std::string&, const std::stop_token& stop) {
    ASSERT_TRUE(manager_->quarantine(ref("a"), "it fails"));
    EXPECT_TRUE(stop.stop_requested());
  });
  EXPECT_EQ(ask_and_run("a").error->code, ErrorCode::kUnavailable);
  EXPECT_EQ(state("a"), State::kCold);
  EXPECT_FALSE(manager_->can_answer());
}

TEST_F(BrokenEngineTest, WhatIsToBeTriedAgainIsNoTrouble) {
  start({model_called("a")});
  EXPECT_FALSE(manager_->standing(ref("a"))->in_trouble) << "cold";
  world_.fail_load("a", Error{ErrorCode::kInternal, "broken"});
  ask_and_run("a");
  EXPECT_TRUE(manager_->standing(ref("a"))->in_trouble);
  clock_.advance(1s);
  EXPECT_FALSE(manager_->standing(ref("a"))->in_trouble) << "the next request may try";
}

}  // namespace
}  // namespace switchyard::models
