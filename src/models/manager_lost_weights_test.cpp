#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/manager_fixture.h"

// Weights in a process of their own go when that dies, whatever the manager is doing with them.

namespace switchyard::models {
namespace {

using testing::Answer;
using ::testing::ElementsAre;
using testing::ManagerTest;
using testing::model_called;
using testing::ref;

class LostWeightsTest : public ManagerTest {
 protected:
  std::string why(const std::string& model) {
    const auto status = manager_->describe(model);
    const auto& error = status->versions.back().error;
    return error ? error->message : std::string();
  }
};

TEST_F(LostWeightsTest, AHotEngineIsBroken) {
  start({model_called("a")});
  Answer& a = ask_and_run("a");
  world_.lose("a");
  EXPECT_TRUE(a.lease.broken());
  EXPECT_TRUE(a.lease.revoked().stop_requested());
  EXPECT_EQ(state("a"), State::kFailed);
  EXPECT_EQ(why("a"), "its process died");
  a.lease.release();
  executor_.run_all();
  EXPECT_EQ(world_.alive("a"), 0);
  EXPECT_EQ(manager_->reserved(), ByteSize());
}

TEST_F(LostWeightsTest, WhatIsBrokenIsAbandonedWhileItIsStillUsed) {
  start({model_called("a")});
  Answer& a = ask_and_run("a");
  ASSERT_TRUE(manager_->mark_broken(ref("a"), {ErrorCode::kTimeout, "it hangs"}));
  EXPECT_THAT(world_.abandoned(), ElementsAre("a@1"));
  world_.lose("a");  // as the death of its process is told
  EXPECT_EQ(why("a"), "it hangs");
  a.lease.release();
}

TEST_F(LostWeightsTest, TheNextRequestLoadsAgain) {
  start({model_called("a")});
  use("a");
  world_.lose("a");
  EXPECT_TRUE(ask_and_run("a").lease);
  EXPECT_EQ(world_.loads("a"), 2);
  EXPECT_EQ(state("a"), State::kHot);
}

TEST_F(LostWeightsTest, AParkedVersionIsFreed) {
  start({model_called("a")});
  use("a");
  ASSERT_TRUE(manager_->park(ref("a")));
  executor_.run_all();
  ASSERT_EQ(state("a"), State::kParked);
  world_.lose("a");
  executor_.run_all();
  EXPECT_EQ(state("a"), State::kFailed);
  EXPECT_EQ(manager_->reserved(), ByteSize());
  EXPECT_TRUE(ask_and_run("a").lease);
}

TEST_F(LostWeightsTest, AReturnFromParkedThatDiesLeavesNothing) {
  start({model_called("a")});
  use("a");
  ASSERT_TRUE(manager_->park(ref("a")));
  executor_.run_all();
  world_.during_load([&](const std::string&, const std::stop_token&) { world_.lose("a"); });
  world_.fail_load("a", Error{ErrorCode::kUnavailable, "its process died"});
  EXPECT_EQ(ask_and_run("a").error->message, "its process died");
  EXPECT_EQ(state("a"), State::kFailed);
  EXPECT_EQ(manager_->reserved(), ByteSize());
}

TEST_F(LostWeightsTest, OneThatIsLostBeforeAnybodyHasItIsALoadThatFailed) {
  start({model_called("a")});
  Answer& a = ask("a");
  // The fake's weights take their token as the engine is made, which is after this hook.
  world_.after_load([&](const std::string&) { world_.lose("a"); });
  executor_.run_all();
  EXPECT_EQ(a.error->message, "its process died");
  EXPECT_EQ(state("a"), State::kFailed);
  EXPECT_EQ(world_.alive("a"), 0);
  EXPECT_EQ(manager_->reserved(), ByteSize());
}

TEST_F(LostWeightsTest, OfAnEngineThatHasLeftNothingIsHeardAnyMore) {
  start({model_called("a")});
  use("a");
  ASSERT_TRUE(manager_->unload(ref("a")));
  executor_.run_all();
  world_.lose("a");
  EXPECT_EQ(state("a"), State::kCold);
  EXPECT_THAT(moves_of("a"), ElementsAre("loading", "warming", "hot", "draining", "unloading", "cold"));
}

}  // namespace
}  // namespace switchyard::models
