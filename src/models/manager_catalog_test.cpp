// Replacing the catalog: what it touches, settings that change in place, names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/manager_fixture.h"

namespace switchyard::models {
namespace {

using testing::Answer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ManagerTest;
using testing::model_called;
using testing::ref;

TEST_F(ManagerTest, AReloadPreloadsWhatItAdds) {
  limits_.models_max = 0;
  const auto a = model_called("a", {.preload = true}), b = model_called("b", {.preload = true});
  start({a}, Manager::Preload::kAll);
  ASSERT_TRUE(manager_->unload(ref("a")));
  ASSERT_TRUE(manager_->set_catalog({a, b}, Manager::Preload::kAdded));
  executor_.run_all();
  EXPECT_EQ(state("a"), State::kCold) << "as its owner left it";
  EXPECT_EQ(state("b"), State::kHot);
}

TEST_F(ManagerTest, AReloadTouchesOnlyWhatChanged) {
  limits_.models_max = 0;
  start({model_called("same"), model_called("settings"), model_called("changed"), model_called("removed")});
  for (const char* name : {"same", "settings", "changed", "removed"}) use(name);
  Answer& changed = ask("changed");
  Answer& removed = ask("removed");
  auto other = model_called("changed");
  other.versions[0].args["model"] = "/m/another";
  seen_.clear();
  ASSERT_TRUE(manager_->set_catalog({model_called("same"), model_called("settings", {.pin = true}), other},
                                    Manager::Preload::kNone));
  EXPECT_EQ(seen_.back().type, "models_reload");
  executor_.run_all();
  EXPECT_EQ(world_.loads("same"), 1);
  EXPECT_EQ(state("settings"), State::kHot);
  EXPECT_TRUE(manager_->describe("settings")->versions[0].pinned);
  EXPECT_EQ(manager_->describe("removed").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(world_.alive("removed"), 1) << "its request goes on";
  EXPECT_FALSE(removed.lease.revoked().stop_requested());

  Answer& next = ask_and_run("changed");
  EXPECT_EQ(next.times, 0) << "the old one is still in memory";
  changed.lease.release();
  removed.lease.release();
  executor_.run_all();
  EXPECT_TRUE(next.lease);
  EXPECT_EQ(world_.loads("changed"), 2);
  EXPECT_EQ(world_.alive("removed"), 0);
}

ModelDefinition with_context(const std::string& id, const std::string& size) {
  auto model = model_called(id);
  model.versions[0].args["ctx-size"] = size;
  return model;
}

TEST_F(ManagerTest, OtherSettingsTakeAHotVersionsPlaceWithItsWeights) {
  start({model_called("a")});
  use("a");
  seen_.clear();
  ASSERT_TRUE(manager_->set_catalog({with_context("a", "1")}, Manager::Preload::kNone));
  executor_.run_all();
  EXPECT_EQ(world_.loads("a"), 2) << "without anybody asking";
  EXPECT_THAT(moves_of("a"), ElementsAre("draining", "parked", "loading", "warming", "hot"));
  EXPECT_EQ(seen_.back().text.at("origin"), "parked");
  EXPECT_EQ(world_.alive("a"), 1);
  EXPECT_EQ(manager_->reserved(), ByteSize::mib(100)) << "and the old one's weights are nobody's now";
  EXPECT_THAT(world_.forgotten(), IsEmpty());
}

TEST_F(ManagerTest, OtherSettingsLoadBesideRepliesThatRun) {
  limits_.models_max = 0;
  start({model_called("a")});
  Answer& running = ask_and_run("a");
  ASSERT_TRUE(manager_->set_catalog({with_context("a", "1")}, Manager::Preload::kNone));
  Answer& next = ask_and_run("a");
  EXPECT_TRUE(next.lease);
  EXPECT_EQ(world_.alive("a"), 2);
  EXPECT_FALSE(running.lease.revoked().stop_requested());
  running.lease.release();
  executor_.run_all();
  EXPECT_EQ(world_.alive("a"), 1);
  EXPECT_EQ(moves_of("a").back(), "hot");
  EXPECT_EQ(manager_->reserved(), ByteSize::mib(100));
}

TEST_F(ManagerTest, OtherSettingsThatFailLeaveNothingBehind) {
  start({model_called("a")});
  use("a");
  world_.fail_load("a", Error{ErrorCode::kInternal, "too much"});
  ASSERT_TRUE(manager_->set_catalog({with_context("a", "1")}, Manager::Preload::kNone));
  executor_.run_all();
  EXPECT_EQ(state("a"), State::kFailed);
  EXPECT_EQ(moves_of("a").back(), "failed");
  EXPECT_EQ(manager_->reserved(), ByteSize());
}

TEST_F(ManagerTest, SettingsThatChangeTwiceEndWithTheLast) {
  start({model_called("a")});
  use("a");
  for (const char* size : {"1", "2", "3"}) {
    ASSERT_TRUE(manager_->set_catalog({with_context("a", size)}, Manager::Preload::kNone));
    executor_.run_one();
  }
  Answer& answer = ask_and_run("a");
  EXPECT_TRUE(answer.lease);
  answer.lease.release();
  ASSERT_TRUE(manager_->set_catalog({with_context("a", "4")}, Manager::Preload::kNone));
  ASSERT_TRUE(manager_->set_catalog({}, Manager::Preload::kNone));
  executor_.run_all();
  EXPECT_EQ(world_.alive("a"), 0);
  EXPECT_EQ(manager_->reserved(), ByteSize());
}

TEST_F(ManagerTest, SettingsAreCheckedForWhatIsInMemory) {
  start({model_called("a"), model_called("cold")});
  use("a");
  EXPECT_TRUE(manager_->check({with_context("a", "1")}));
  world_.fail_inspection("a", Error{ErrorCode::kInvalidArgument, "no such adapter"});
  world_.fail_inspection("cold", Error{ErrorCode::kInvalidArgument, "nobody needs to know yet"});
  EXPECT_TRUE(manager_->check({model_called("a"), with_context("cold", "1")}));
  EXPECT_EQ(manager_->check({with_context("a", "2")}).error().message, "no such adapter");
}

TEST_F(ManagerTest, WaitersOfARemovedModelGetNotFoundAndABadCatalogChangesNothing) {
  start({model_called("a"), model_called("b")});
  Answer& a = ask("a");
  EXPECT_EQ(
      manager_->set_catalog({model_called("b"), model_called("b")}, Manager::Preload::kNone).error().code,
      ErrorCode::kInvalidArgument);
  EXPECT_EQ(a.times, 0);
  ASSERT_TRUE(manager_->set_catalog({model_called("b")}, Manager::Preload::kNone));
  EXPECT_EQ(a.error->code, ErrorCode::kNotFound);
}

TEST_F(ManagerTest, OnlyAVersionThatIsGoneLosesItsConversations) {
  start({model_called("same"), model_called("changed"), model_called("removed")});
  auto changed = model_called("changed");
  changed.versions[0].args["temperature"] = "1";
  ASSERT_TRUE(manager_->set_catalog({model_called("same"), changed}, Manager::Preload::kNone));
  EXPECT_THAT(world_.forgotten(), ElementsAre("removed@1"));
}

TEST_F(ManagerTest, NamesResolveToTheNewestVersion) {
  auto model = model_called("gemma");
  model.versions.push_back(model.versions[0]);
  model.versions[1].version = "2";
  model.extra_names = {"g"};
  start({model});
  EXPECT_EQ(*manager_->resolve("gemma"), ref("gemma", "2"));
  EXPECT_EQ(*manager_->resolve("g"), ref("gemma", "2"));
  EXPECT_EQ(*manager_->resolve("gemma@1"), ref("gemma", "1"));
  EXPECT_EQ(manager_->resolve("gemma@9").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(manager_->resolve("gema").error().message, HasSubstr("did you mean 'gemma'"));
}

TEST_F(ManagerTest, ADefinitionThatDidNotChangeStaysTheOneThatIsShared) {
  start({model_called("a"), model_called("b")});
  const auto a = manager_->describe("a")->definition, b = manager_->describe("b")->definition;
  ModelDefinition changed = model_called("b");
  changed.tags = {"new"};
  ASSERT_TRUE(manager_->set_catalog({model_called("a"), changed}, Manager::Preload::kNone));
  EXPECT_EQ(manager_->describe("a")->definition, a);
  EXPECT_NE(manager_->describe("b")->definition, b);
}
}  // namespace
}  // namespace switchyard::models
