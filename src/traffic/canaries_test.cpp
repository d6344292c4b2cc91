#include "traffic/canaries.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "traffic/traffic_fixture.h"

namespace switchyard::traffic {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// chat means a@1; b@1 is the canary.
class CanariesTest : public testing::SwitcherTest {
 public:
  CanariesTest() { reopen(); }
  ~CanariesTest() override { canaries_.reset(); }
  CanariesTest(const CanariesTest&) = delete;
  CanariesTest& operator=(const CanariesTest&) = delete;

 protected:
  void reopen() {
    canaries_.reset();
    canaries_.emplace(Canaries::Dependencies{
        .switcher = *switcher_, .executor = executor_, .events = events_, .state = state_, .clock = clock_});
  }
  Result<CanaryStatus> start(Canaries::Request request) {
    std::optional<Result<CanaryStatus>> answer;
    canaries_->start(std::move(request), [&](Result<CanaryStatus> status) { answer = std::move(status); });
    executor_.run_all();
    return answer.value_or(fail(ErrorCode::kInternal, "not answered"));
  }
  Result<CanaryStatus> start() {
    return start({.alias = "chat", .to = "b@1", .plan = kPlan, .who = "tester"});
  }
  Result<CanaryStatus> tell(Canaries::Command command) {
    std::optional<Result<CanaryStatus>> answer;
    canaries_->command("chat", command, "tester",
                       [&](Result<CanaryStatus> status) { answer = std::move(status); });
    executor_.run_all();
    return answer.value_or(fail(ErrorCode::kInternal, "not answered"));
  }
  void observe(const models::VersionRef& version, int times, bool is_error = false, Duration ttft = 10ms) {
    for (int n = 0; n < times; ++n)
      canaries_->observe("chat",
                         {.version = version, .is_error = is_error, .ttft = ttft, .tokens_per_s = 50});
  }
  void tick(Duration later) {
    pass(later);
    canaries_->tick();
    executor_.run_all();
  }
  CanaryStatus now() { return canaries_->describe("chat").value(); }
  std::vector<std::string> moves() {
    std::vector<std::string> moves;
    for (const CanaryLine& line : now().lines) moves.push_back(line.move);
    return moves;
  }
  double share_of_b() {
    const auto split = switcher_->split_of("chat");
    return split == nullptr ? -1 : split->arms[1].weight;
  }

  const CanaryPlan kPlan{.steps = {10, 50}, .interval = 30s, .min_requests = 5};
  std::optional<Canaries> canaries_;
};

TEST_F(CanariesTest, AGoodOneGetsAllOfItStepByStep) {
  const auto begun = start();
  ASSERT_TRUE(begun) << begun.error().to_string();
  EXPECT_EQ(begun->stable, kA);
  EXPECT_EQ(begun->canary, kB);
  EXPECT_EQ(share_of_b(), 10);
  observe(kA, 40);
  observe(kB, 5);
  tick(29s);
  EXPECT_EQ(share_of_b(), 10) << "the step is not over";
  tick(1s);
  EXPECT_EQ(share_of_b(), 50);
  EXPECT_EQ(now().canary_figures.requests, 0U) << "another step, other figures";
  tick(31s);
  EXPECT_EQ(share_of_b(), 50) << "nobody has asked it";
  observe(kB, 5);
  tick(1s);
  EXPECT_EQ(means("chat"), kB);
  EXPECT_EQ(now().state, CanaryState::kPromoted);
  EXPECT_THAT(moves(), ElementsAre("promote", "advance", "start"));
  EXPECT_THAT(now().lines[1].reason, HasSubstr("canary: 5 requests, 0 failed"));
  EXPECT_EQ(roll_back("chat")->report.to, kA) << "and there is a way back";
}

TEST_F(CanariesTest, ABadOneLosesAllOfItAtOnceAndSaysWhy) {
  ASSERT_TRUE(start());
  observe(kA, 40);
  observe(kB, 2, true);
  tick(1s);
  EXPECT_EQ(means("chat"), kA);
  EXPECT_EQ(switcher_->split_of("chat"), nullptr);
  EXPECT_EQ(now().state, CanaryState::kRolledBack);
  EXPECT_EQ(now().percent, 0);
  EXPECT_THAT(moves(), ElementsAre("roll_back", "start"));
  EXPECT_THAT(now().lines[0].reason, HasSubstr("2 of 2 requests failed; 0 of 40"));
  EXPECT_THAT(switcher_->history("chat", 1)->front().why, HasSubstr("canary rolled back: 2 of 2"));
}

TEST_F(CanariesTest, OneThatBreaksIsTakenBackWithoutARequest) {
  ASSERT_TRUE(start());
  telemetry::Event event;
  event.type = "health";
  event.model = "b";
  event.version = "1";
  event.text = {{"to", "failed"}};
  events_.publish(std::move(event));
  tick(1s);
  EXPECT_EQ(now().state, CanaryState::kRolledBack);
  EXPECT_THAT(now().lines[0].reason, HasSubstr("1 failed probes"));
}

TEST_F(CanariesTest, PausedNothingIsDecided) {
  ASSERT_TRUE(start());
  EXPECT_EQ(tell(Canaries::Command::kPause)->state, CanaryState::kPaused);
  observe(kB, 5, true);
  tick(60s);
  EXPECT_EQ(share_of_b(), 10);
  EXPECT_EQ(tell(Canaries::Command::kResume)->state, CanaryState::kRunning);
  observe(kB, 5);
  tick(30s);
  EXPECT_EQ(share_of_b(), 50) << "what came while it was paused does not count";
}

TEST_F(CanariesTest, PromoteAndAbortDoItAtOnce) {
  ASSERT_TRUE(start());
  EXPECT_EQ(tell(Canaries::Command::kAbort)->state, CanaryState::kAborted);
  EXPECT_EQ(means("chat"), kA);
  EXPECT_EQ(tell(Canaries::Command::kAbort).error().code, ErrorCode::kConflict);
  ASSERT_TRUE(start());
  EXPECT_EQ(tell(Canaries::Command::kPromote)->state, CanaryState::kPromoted);
  EXPECT_EQ(means("chat"), kB);
}

TEST_F(CanariesTest, GoesOnAfterARestart) {
  ASSERT_TRUE(start());
  observe(kB, 5);
  tick(30s);
  canaries_.reset();
  restart({{"chat", kA}});
  reopen();
  EXPECT_EQ(now().state, CanaryState::kRunning);
  EXPECT_EQ(now().percent, 50);
  EXPECT_EQ(now().plan, kPlan);
  observe(kB, 5);
  tick(30s);
  EXPECT_EQ(now().state, CanaryState::kPromoted);
  EXPECT_THAT(moves(), ElementsAre("promote", "advance", "start"));
}

TEST_F(CanariesTest, EndsWhereSomebodyMovesTheAlias) {
  ASSERT_TRUE(start());
  ask_and_run("chat", "m@1");
  tick(1s);
  EXPECT_EQ(now().state, CanaryState::kEnded);
  EXPECT_EQ(means("chat"), kM1);
}

TEST_F(CanariesTest, AfterAMoveByACallNoCommandMovesItBack) {
  for (const auto command : {Canaries::Command::kAbort, Canaries::Command::kPromote}) {
    ask_and_run("chat", "a@1");
    ASSERT_TRUE(start());
    ask_and_run("chat", "m@1");
    EXPECT_EQ(tell(command).error().code, ErrorCode::kConflict) << "before anybody has looked at it";
    EXPECT_EQ(means("chat"), kM1);
    EXPECT_EQ(now().state, CanaryState::kEnded);
  }
  ask_and_run("chat", "a@1");
  ASSERT_TRUE(start());
  ask_and_run("chat", "m@1");
  EXPECT_TRUE(start()) << "another one may begin at once";
}

TEST_F(CanariesTest, ItsStepsSupersedeNobody) {
  ASSERT_TRUE(start());
  observe(kA, 40);
  observe(kB, 5);
  clock_.advance(30s);
  const auto by_hand = ask("chat", "m@2");
  canaries_->tick();
  executor_.run_all();
  EXPECT_EQ(by_hand->report.outcome, Outcome::kOk);
  EXPECT_EQ(means("chat"), kM2);
  tick(1s);
  EXPECT_EQ(now().state, CanaryState::kEnded);
}

TEST_F(CanariesTest, WhereAFileBehindItIsReplacedAllGoesBack) {
  ASSERT_TRUE(start());
  ASSERT_TRUE(switcher_->define({{"chat", kA}}, {{kB, kM1}}));
  executor_.run_all();
  tick(1s);
  EXPECT_EQ(now().state, CanaryState::kRolledBack);
  EXPECT_THAT(now().lines[0].reason, HasSubstr("file"));
  EXPECT_EQ(means("chat"), kA);
  EXPECT_EQ(switcher_->split_of("chat"), nullptr);
}

TEST_F(CanariesTest, WhatCannotBeKeptIsNotDone) {
  ASSERT_TRUE(start());
  ASSERT_TRUE(state_.with(
      [](store::Database& d) { return d.execute("ALTER TABLE canary_decisions RENAME TO gone"); }));
  EXPECT_FALSE(tell(Canaries::Command::kPause));
  ASSERT_TRUE(state_.with(
      [](store::Database& d) { return d.execute("ALTER TABLE gone RENAME TO canary_decisions"); }));
  EXPECT_EQ(now().state, CanaryState::kRunning);
  EXPECT_EQ(tell(Canaries::Command::kPause)->state, CanaryState::kPaused);
}

TEST_F(CanariesTest, WhatCannotBeginChangesNothing) {
  const auto code = [this](Canaries::Request request) { return start(std::move(request)).error().code; };
  EXPECT_EQ(code({.alias = "nobody", .to = "b@1", .plan = kPlan}), ErrorCode::kNotFound);
  EXPECT_EQ(code({.alias = "chat", .to = "nobody", .plan = kPlan}), ErrorCode::kNotFound);
  EXPECT_EQ(code({.alias = "chat", .to = "a@1", .plan = kPlan}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.alias = "chat", .to = "b@1", .plan = {.steps = {}}}), ErrorCode::kInvalidArgument);
  world_.fail_load("b", Error{ErrorCode::kCorruptFile, "it is broken"});
  EXPECT_EQ(code({.alias = "chat", .to = "b@1", .plan = kPlan}), ErrorCode::kCorruptFile);
  EXPECT_EQ(canaries_->describe("chat").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(switcher_->split_of("chat"), nullptr);
  world_.fail_load("b", std::nullopt);
  pass(400s);  // the backoff of the failed load
  ASSERT_TRUE(start());
  EXPECT_EQ(code({.alias = "chat", .to = "m@1", .plan = kPlan}), ErrorCode::kConflict);
}

}  // namespace
}  // namespace switchyard::traffic
