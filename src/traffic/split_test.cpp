#include "traffic/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "traffic/traffic_fixture.h"

namespace switchyard::traffic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SwitcherTest;

const models::VersionRef kA{"a", "1"}, kB{"b", "1"}, kC{"c", "1"};

std::string error_of(const Status& status) { return status ? "" : status.error().message; }

TEST(SplitTest, ArmsThatAreNoneAreRefused) {
  EXPECT_EQ(error_of(check_arms(std::vector<Arm>{{kA, 90}, {kB, 10}})), "");
  EXPECT_EQ(error_of(check_arms(std::vector<Arm>{{kA, 100}, {kB, 0}})), "");
  EXPECT_EQ(error_of(check_arms(std::vector<Arm>{{kA, 33.3}, {kB, 33.3}, {kC, 33.4}})), "");
  EXPECT_EQ(error_of(check_arms(std::vector<Arm>{{kA, 90}, {kB, 5}})),
            "the weights add up to 95; they must add up to 100");
  EXPECT_EQ(error_of(check_arms(std::vector<Arm>{{kA, 50}, {kA, 50}})), "'a@1' is in the split twice");
  EXPECT_THAT(error_of(check_arms(std::vector<Arm>{{kA, 110}, {kB, -10}})), HasSubstr("from 0 to 100"));
  EXPECT_THAT(error_of(check_arms(std::vector<Arm>{{kA, std::nan("")}, {kB, 100}})),
              HasSubstr("from 0 to 100"));
  EXPECT_THAT(error_of(check_arms({})), HasSubstr("1 to 64 arms"));
}

TEST(SplitTest, WhatIsKeptIsReadBack) {
  const Split first = make_split({{kA, 90}, {kB, 10}}, "x-user-id", nullptr);
  const Split split = make_split({{kA, 20.5}, {kC, 79.5}}, "x-user-id", &first);
  ASSERT_NE(parse_split(to_text(split)), nullptr);
  EXPECT_EQ(*parse_split(to_text(split)), split);
  EXPECT_EQ(parse_split(""), nullptr);
  EXPECT_EQ(parse_split("x-user-id\n4294967296:0\n90 a@1"), nullptr);
  EXPECT_EQ(parse_arms(to_text(std::span<const Arm>(split.arms))), split.arms);
  EXPECT_EQ(described(split.arms, split.sticky_header), "a@1=20.5, c@1=79.5, sticky by x-user-id");
}

SwitchRequest divide(std::vector<SplitSpec::Arm> arms, std::optional<std::string> header = {}) {
  return {.alias = "chat",
          .to = {},
          .split = SplitSpec{.arms = std::move(arms), .sticky_header = std::move(header)}};
}

/// Of 1000 subjects those that `name` gives to `version`.
int share(const Switcher& switcher, const std::string& name, const models::VersionRef& version) {
  int found = 0;
  for (int n = 0; n < 1000; ++n)
    found += switcher.resolve(name, "user-" + std::to_string(n)) == version ? 1 : 0;
  return found;
}

TEST_F(SwitcherTest, ASplitMakesItsArmsAnswerAndThenSharesRequests) {
  const auto told = ask(divide({{"a@1", 90}, {"b@1", 10}}, "x-user-id"));
  EXPECT_EQ(share(*switcher_, "chat", kA), 1000);  // b has not answered yet
  executor_.run_all();
  ASSERT_EQ(told->times, 1);
  EXPECT_EQ(told->report.outcome, Outcome::kOk);
  EXPECT_EQ(told->report.kind, Kind::kSplit);
  EXPECT_EQ(state(kB), models::State::kHot);
  EXPECT_NEAR(share(*switcher_, "chat", kB), 100, 30);
  EXPECT_EQ(means("chat"), kA);
  EXPECT_THAT(history("chat"), ElementsAre("split a@1 a@1 ok"));
  EXPECT_EQ(switcher_->describe("chat")->alias.split, (std::vector<Arm>{{kA, 90}, {kB, 10}}));
  EXPECT_EQ(switcher_->describe("chat")->alias.sticky_header, "x-user-id");
}

TEST_F(SwitcherTest, SubjectsStayWithTheirArmOverWeightsAndRestarts) {
  ask(divide({{"a@1", 90}, {"b@1", 10}}, "x-user-id"));
  executor_.run_all();
  std::vector<models::VersionRef> before;
  for (int n = 0; n < 1000; ++n) before.push_back(*switcher_->resolve("chat", std::to_string(n)));
  restart({{"chat", kA}});
  for (int n = 0; n < 1000; ++n) EXPECT_EQ(*switcher_->resolve("chat", std::to_string(n)), before[n]);
  ask(divide({{"b@1", 20}, {"a@1", 80}}));  // in any order; the header stays
  executor_.run_all();
  int moved = 0;
  for (int n = 0; n < 1000; ++n) {
    const bool other = *switcher_->resolve("chat", std::to_string(n)) != before[n];
    moved += other ? 1 : 0;
    EXPECT_TRUE(!other || before[n] == kA);
  }
  EXPECT_NEAR(moved, 100, 35);
  EXPECT_EQ(means("chat"), kA);
  EXPECT_EQ(switcher_->split_of("chat")->sticky_header, "x-user-id");
}

TEST_F(SwitcherTest, AnArmThatDoesNotLoadChangesNothing) {
  world_.fail_load("b", Error{ErrorCode::kCorruptFile, "it is broken"});
  const auto told = ask(divide({{"a@1", 50}, {"b@1", 50}}));
  executor_.run_all();
  ASSERT_TRUE(told->report.error);
  EXPECT_THAT(told->report.error->message, HasSubstr("loading 'b@1' failed, 'a@1' goes on serving"));
  EXPECT_EQ(switcher_->split_of("chat"), nullptr);
  EXPECT_EQ(share(*switcher_, "chat", kA), 1000);
}

TEST_F(SwitcherTest, WrongSplitsAreRefusedBeforeAnythingIsDone) {
  const auto refused = [&](std::vector<SplitSpec::Arm> arms) {
    const auto told = ask(divide(std::move(arms)));
    executor_.run_all();
    return told->report.error ? told->report.error->message : "";
  };
  EXPECT_THAT(refused({{"a@1", 90}, {"b@1", 5}}), HasSubstr("add up to 95"));
  EXPECT_THAT(refused({{"a@1", 90}, {"nobody@1", 10}}), HasSubstr("nobody"));
  EXPECT_THAT(refused({}), HasSubstr("1 to 64"));
  EXPECT_TRUE(switcher_->history("chat", 10)->empty());
}

TEST_F(SwitcherTest, ASwitchEndsASplitAndARollbackGivesItAllBackToTheFirstArm) {
  ask(divide({{"a@1", 50}, {"b@1", 50}}));
  executor_.run_all();
  EXPECT_EQ(roll_back("chat")->report.outcome, Outcome::kOk);
  EXPECT_EQ(share(*switcher_, "chat", kA), 1000);
  ask(divide({{"a@1", 50}, {"b@1", 50}}));
  executor_.run_all();
  EXPECT_EQ(ask_and_run("chat", "b@1")->report.outcome, Outcome::kOk);
  EXPECT_EQ(share(*switcher_, "chat", kB), 1000);
  EXPECT_EQ(switcher_->describe("chat")->alias.split, std::vector<Arm>{});
  EXPECT_EQ(roll_back("chat")->report.to, kA);
}

TEST_F(SwitcherTest, TheArmsStandInForOneAnother) {
  ask(divide({{"a@1", 50}, {"b@1", 50}}));
  executor_.run_all();
  EXPECT_THAT(switcher_->fallbacks("chat"), ElementsAre(kA, kB));
}

TEST_F(SwitcherTest, AnArmThatLeavesTheCatalogIsTheFirstOnes) {
  ask(divide({{"a@1", 50}, {"b@1", 50}}));
  executor_.run_all();
  take_from_catalog("b");
  EXPECT_EQ(share(*switcher_, "chat", kA), 1000);
}

TEST_F(SwitcherTest, TheFirstArmThatLeavesTheCatalogLeavesTheOthersTheirAlias) {
  auto request = divide({{"b@1", 50}, {"a@1", 50}});
  request.alias = "mine";
  request.when_missing = WhenMissing::kMake;
  ask(std::move(request));
  executor_.run_all();
  take_from_catalog("b");
  EXPECT_EQ(share(*switcher_, "mine", kA), 1000);
}

TEST_F(SwitcherTest, AnArmServesUntilTheSuccessorOfItsFileHasAnswered) {
  ask(divide({{"m@1", 50}, {"b@1", 50}}));
  executor_.run_all();
  world_.fail_load("m", Error{ErrorCode::kCorruptFile, "it is broken"});
  ASSERT_TRUE(switcher_->define({{"chat", kA}}, {{kM1, kM3}}));
  executor_.run_all();
  EXPECT_NEAR(share(*switcher_, "chat", kM1), 500, 70) << "its engine is there";
  EXPECT_EQ(history("chat").front(), "upgrade m@1 m@3 failed");
  world_.fail_load("m", std::nullopt);
  pass(std::chrono::seconds(400));  // the backoff of the failed load
  ASSERT_TRUE(switcher_->define({{"chat", kA}}, {{kM1, kM3}}));
  executor_.run_all();
  EXPECT_NEAR(share(*switcher_, "chat", kM3), 500, 70);
  EXPECT_NEAR(share(*switcher_, "chat", kB), 500, 70);
}

TEST_F(SwitcherTest, AMoveWithConditionsIsRefusedWhereTheyDoNotHold) {
  ask(divide({{"a@1", 50}, {"b@1", 50}}));
  executor_.run_all();
  auto told = ask({.alias = "chat", .to = "b@1", .only_if_split_over = {kA, kM1}});
  executor_.run_all();
  EXPECT_EQ(told->report.error->code, ErrorCode::kConflict);
  EXPECT_NE(switcher_->split_of("chat"), nullptr);
  told = ask({.alias = "chat", .to = "b@1", .only_if_within = {kA}});
  executor_.run_all();
  EXPECT_EQ(told->report.error->code, ErrorCode::kConflict) << "b is none of these";
  told = ask({.alias = "chat", .to = "a@1", .only_if_within = {kA, kB, kM1}});
  executor_.run_all();
  EXPECT_EQ(told->report.outcome, Outcome::kOk);
  const auto first = ask("chat", "m@1");
  told = ask({.alias = "chat", .to = "b@1", .yields = true});
  executor_.run_all();
  EXPECT_EQ(told->report.error->code, ErrorCode::kConflict);
  EXPECT_EQ(first->report.outcome, Outcome::kOk);
  EXPECT_EQ(means("chat"), kM1);
}

TEST_F(SwitcherTest, PreviousIsWhereARollbackGoes) {
  ask_and_run("chat", "b@1");
  ask_and_run("chat", "m@1");
  EXPECT_EQ(means("chat@previous"), kB);
  take_from_catalog("b");
  EXPECT_EQ(means("chat@previous"), kA);
  EXPECT_EQ(switcher_->describe("chat")->previous.front(), kA);
  ask(divide({{"m@1", 50}, {"a@1", 50}}));
  executor_.run_all();
  EXPECT_EQ(means("chat@previous"), kM1) << "all of it to the first arm";
  EXPECT_EQ(roll_back("chat")->report.to, kM1);
}

TEST_F(SwitcherTest, AModelTakesItsNameFromAnAliasThatRests) {
  auto request = SwitchRequest{.alias = "new", .to = "a@1", .when_missing = WhenMissing::kMake};
  ask(std::move(request));
  executor_.run_all();
  EXPECT_EQ(means("new"), kA);
  catalog_.push_back(testing::model_with("new", {"1"}));
  ASSERT_TRUE(manager_->set_catalog(catalog_, models::Manager::Preload::kNone));
  ASSERT_TRUE(switcher_->define({{"chat", kA}}));
  const models::VersionRef of_model{"new", "1"};
  EXPECT_EQ(means("new"), of_model);
  EXPECT_EQ(ask_and_run("new", "b@1")->report.error->code, ErrorCode::kInvalidArgument) << "not its version";
  ASSERT_TRUE(manager_->load(of_model));
  executor_.run_all();
  EXPECT_TRUE(switcher_->describe("new")->is_model);
  EXPECT_FALSE(switcher_->is_alias("new"));
  EXPECT_TRUE(switcher_->is_alias("chat"));
}

TEST_F(SwitcherTest, ANameIsUtf8) {
  auto told = ask({.alias = "\xff\xfe", .to = "a@1", .when_missing = WhenMissing::kMake});
  executor_.run_all();
  EXPECT_EQ(told->report.error->code, ErrorCode::kInvalidArgument);
}

TEST_F(SwitcherTest, TheConfigFileSplitsLazilyAndCallsMoveItOn) {
  const Alias split{.name = "both", .to = kA, .split = {{kA, 50}, {kB, 50}}, .sticky_header = "x-user-id"};
  restart({{"chat", kA}, split});
  EXPECT_EQ(state(kB), models::State::kCold);
  EXPECT_NEAR(share(*switcher_, "both", kB), 500, 70);
  auto request = divide({{"a@1", 10}, {"b@1", 90}});
  request.alias = "both";
  ask(std::move(request));
  executor_.run_all();
  restart({{"chat", kA}, split});  // the file says what it said: the call counts
  EXPECT_NEAR(share(*switcher_, "both", kB), 900, 70);
}

}  // namespace
}  // namespace switchyard::traffic
