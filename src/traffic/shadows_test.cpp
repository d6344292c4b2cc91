#include "traffic/shadows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "traffic/traffic_fixture.h"

namespace switchyard::traffic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// chat means a@1; b@1 shadows it.
class ShadowsTest : public testing::SwitcherTest {
 public:
  ~ShadowsTest() override { shadows_.reset(); }

 protected:
  ShadowsTest() { reopen(); }

  /// As after a restart: what is kept is read again.
  void reopen() {
    shadows_.reset();
    shadows_.emplace(Shadows::Dependencies{.switcher = *switcher_, .events = events_, .state = state_});
  }
  Result<ShadowStatus> set(const std::string& to, ShadowPlan plan = {}, const std::string& alias = "chat") {
    return shadows_->set({.alias = alias, .to = to, .plan = std::move(plan), .who = "tester"});
  }
  ShadowStatus now() { return shadows_->describe("chat").value(); }
  void compare_one() {
    shadows_->note(*shadows_->of("chat"), compare({.text = "x"}, {.text = "x"}, WantsJson::kNo));
  }
  ShadowPair pair(const std::string& id, const std::string& reply = "r") {
    return {.request_id = id, .version = kA, .prompt = "p", .reply = reply, .copy = "c", .similarity = 0.5};
  }

  std::optional<Shadows> shadows_;
};

TEST_F(ShadowsTest, BeginsCountsAndStops) {
  EXPECT_EQ(shadows_->of("chat"), nullptr);
  const auto begun = set("b@1", {.fraction = 0.5});
  ASSERT_TRUE(begun) << begun.error().to_string();
  EXPECT_TRUE(begun->running);
  EXPECT_EQ(begun->to, kB);
  EXPECT_EQ(means("chat"), kA) << "the alias means what it meant";
  ASSERT_NE(shadows_->of("chat"), nullptr);
  compare_one();
  shadows_->note_failed(*shadows_->of("chat"), "no_room");
  shadows_->note_dropped(*shadows_->of("chat"), "too_many");
  EXPECT_EQ(now().figures.exact, 1U);
  EXPECT_EQ(now().figures.failed.at("no_room"), 1U);
  EXPECT_EQ(now().figures.dropped.at("too_many"), 1U);
  const auto stopped = shadows_->stop("chat", "tester");
  ASSERT_TRUE(stopped);
  EXPECT_FALSE(stopped->running);
  EXPECT_EQ(shadows_->of("chat"), nullptr);
  EXPECT_EQ(now().figures.compared, 1U) << "what it has shown stays";
  EXPECT_EQ(shadows_->stop("chat", "tester").error().code, ErrorCode::kConflict);
}

TEST_F(ShadowsTest, OneThatIsSetJustSoGoesOnAndAnotherBeginsAnew) {
  ASSERT_TRUE(set("b@1"));
  const ShadowPtr first = shadows_->of("chat");
  compare_one();
  ASSERT_TRUE(set("b@1"));
  EXPECT_TRUE(shadows_->is_running(*first));
  EXPECT_EQ(now().figures.compared, 1U);
  ASSERT_TRUE(set("b@1", {.fraction = 0.2}));
  EXPECT_FALSE(shadows_->is_running(*first));
  EXPECT_EQ(now().figures.compared, 0U);
  shadows_->note(*first, compare({.text = "x"}, {.text = "x"}, WantsJson::kNo));
  EXPECT_EQ(now().figures.compared, 0U) << "what was another's is not counted here";
}

TEST_F(ShadowsTest, IsThereAgainAfterARestartWithItsFigures) {
  const ShadowPlan plan{.fraction = 0.25, .similarity_model = "m", .keep_replies = true, .max_tokens = 9};
  ASSERT_TRUE(set("b@1", plan));
  compare_one();
  shadows_->write();
  reopen();
  ASSERT_NE(shadows_->of("chat"), nullptr);
  EXPECT_EQ(shadows_->of("chat")->plan, plan);
  EXPECT_EQ(shadows_->of("chat")->to, kB);
  EXPECT_EQ(now().figures.compared, 1U);
  ASSERT_TRUE(shadows_->stop("chat", "tester"));
  reopen();
  EXPECT_EQ(shadows_->of("chat"), nullptr);
  EXPECT_EQ(now().figures.compared, 1U);
}

TEST_F(ShadowsTest, WhatCannotBeginChangesNothingAndSaysWhy) {
  const auto error = [this](const std::string& to, ShadowPlan plan = {}, const std::string& alias = "chat") {
    const auto begun = set(to, std::move(plan), alias);
    EXPECT_FALSE(begun);
    return begun ? Error{} : begun.error();
  };
  EXPECT_EQ(error("b@1", {}, "nobody").code, ErrorCode::kNotFound);
  EXPECT_EQ(error("nobody").code, ErrorCode::kNotFound);
  EXPECT_EQ(error("b@1", {.fraction = 0}).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error("b@1", {.similarity_model = "nobody"}).code, ErrorCode::kNotFound);
  EXPECT_THAT(error("b@1", {.similarity_model = "nobody"}).message, HasSubstr("similarity_model"));
  for (const char* itself : {"a@1", "chat"}) {
    EXPECT_EQ(error(itself).code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(error(itself).message, HasSubstr("another version"));
  }
  EXPECT_EQ(shadows_->of("chat"), nullptr);
  EXPECT_EQ(shadows_->describe("chat").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(shadows_->stop("chat", "tester").error().code, ErrorCode::kNotFound);
}

TEST_F(ShadowsTest, RepliesAreKeptByItsSettingOnly) {
  ASSERT_TRUE(set("b@1"));
  shadows_->keep(*shadows_->of("chat"), pair("1"));
  EXPECT_THAT(*shadows_->pairs("chat"), IsEmpty());
  ASSERT_TRUE(set("b@1", {.keep_replies = true}));
  shadows_->keep(*shadows_->of("chat"), pair("1"));
  shadows_->keep(*shadows_->of("chat"), pair("2", std::string(100 << 10, 'x')));
  const auto pairs = shadows_->pairs("chat").value();
  ASSERT_THAT(pairs, SizeIs(2));
  EXPECT_EQ(pairs[0].request_id, "2") << "the newest first";
  EXPECT_EQ(pairs[0].reply.size(), std::size_t{16} << 10) << "long ones are cut";
  EXPECT_EQ(pairs[1].copy, "c");
  EXPECT_EQ(pairs[1].similarity, 0.5);
  for (int n = 0; n < 110; ++n) shadows_->keep(*shadows_->of("chat"), pair(std::to_string(n)));
  EXPECT_THAT(*shadows_->pairs("chat"), SizeIs(100));
}

TEST_F(ShadowsTest, KeptRepliesGoWithTheirShadow) {
  ASSERT_TRUE(set("b@1", {.keep_replies = true}));
  const ShadowPtr old = shadows_->of("chat");
  shadows_->keep(*old, pair("1"));
  ASSERT_TRUE(shadows_->stop("chat", "tester"));
  EXPECT_THAT(*shadows_->pairs("chat"), IsEmpty());
  shadows_->keep(*old, pair("2"));
  EXPECT_THAT(*shadows_->pairs("chat"), IsEmpty()) << "nothing comes after its end";
  ASSERT_TRUE(set("b@1", {.keep_replies = true}));
  shadows_->keep(*shadows_->of("chat"), pair("1"));
  ASSERT_TRUE(set("b@1", {.fraction = 0.2, .keep_replies = true}));
  EXPECT_THAT(*shadows_->pairs("chat"), IsEmpty());
}

TEST_F(ShadowsTest, FollowsTheConfigFileWhereThatChanges) {
  const ShadowDefinition line{.alias = "chat", .to = kB, .plan = {.fraction = 0.5}};
  shadows_->define({line});
  EXPECT_EQ(now().plan.fraction, 0.5);
  EXPECT_EQ(now().who, "config");
  compare_one();
  shadows_->define({line});
  EXPECT_EQ(now().figures.compared, 1U) << "the same line changes nothing";
  ASSERT_TRUE(shadows_->stop("chat", "tester"));
  shadows_->define({line});
  EXPECT_FALSE(now().running) << "what was stopped by a call stays so";
  reopen();
  shadows_->define({line});
  EXPECT_FALSE(now().running) << "over a restart, too";
  shadows_->define({{.alias = "chat", .to = kB, .plan = {.fraction = 1}}});
  EXPECT_EQ(now().plan.fraction, 1);
  EXPECT_TRUE(now().running);
  shadows_->define({});
  EXPECT_FALSE(now().running) << "its line is gone";
  ASSERT_TRUE(set("b@1"));
  shadows_->define({});
  EXPECT_TRUE(now().running) << "that of a call is none of the file's";
}

TEST_F(ShadowsTest, EndsWithItsAlias) {
  ASSERT_TRUE(set("b@1"));
  shadows_->alias_removed("chat", "tester");
  EXPECT_EQ(shadows_->of("chat"), nullptr);
  shadows_->alias_removed("nobody", "tester");
}

TEST_F(ShadowsTest, BeginningAndEndAreTold) {
  ASSERT_TRUE(set("b@1", {.fraction = 0.5}));
  ASSERT_TRUE(shadows_->stop("chat", "tester"));
  std::vector<std::string> moves;
  for (const telemetry::Event& event : seen_) {
    if (event.type == "shadow") moves.push_back(event.text.at("alias") + " " + event.text.at("move"));
  }
  EXPECT_THAT(moves, ElementsAre("chat start", "chat stop"));
}

}  // namespace
}  // namespace switchyard::traffic
