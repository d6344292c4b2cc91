#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <thread>

#include "models/fake_engine.h"
#include "traffic/switcher.h"

namespace switchyard::traffic {
namespace {

using models::State;
using models::VersionRef;
using models::testing::FakeLoader;
using models::testing::FakeWorld;
using models::testing::ManualExecutor;
using models::testing::model_called;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const VersionRef kA{"a", "1"};
const VersionRef kB{"b", "1"};

class SwitcherTest : public ::testing::Test {
 protected:
  SwitcherTest() {
    models::Limits limits;
    limits.memory_budget = ByteSize::gib(1);
    manager_.emplace(
        models::Manager::Dependencies{
            .loader = loader_, .executor = executor_, .events = events_, .clock = clock_, .own_timer = false},
        limits);
    EXPECT_TRUE(manager_->set_catalog({model_called("a"), model_called("b")}, models::Manager::Preload::kNo));
    switcher_.emplace(Switcher::Dependencies{.manager = *manager_, .events = events_, .clock = clock_});
    EXPECT_TRUE(switcher_->set_aliases({{"chat", kA}}));
    subscription_ = events_.subscribe([this](const telemetry::Event& event) {
      if (event.type == "alias") seen_.push_back(event);
    });
    EXPECT_TRUE(manager_->load(kA));
    executor_.run_all();
  }
  ~SwitcherTest() override {
    switcher_.reset();
    executor_.run_inline();
    manager_.reset();
  }

  State state(const VersionRef& ref) { return manager_->describe(ref.model)->versions[0].state; }

  FakeWorld world_;
  FakeLoader loader_{world_};
  ManualExecutor executor_;
  telemetry::EventBus events_;
  FakeClock clock_;
  std::vector<telemetry::Event> seen_;
  telemetry::EventBus::Subscription subscription_;
  std::optional<models::Manager> manager_;
  std::optional<Switcher> switcher_;
};

TEST_F(SwitcherTest, AnAliasFlipsWhenTheNewVersionIsHotAndTheOldOneIsParked) {
  std::optional<Status> done;
  switcher_->switch_alias("chat", kB, {}, [&](const Status& status) { done = status; });
  EXPECT_EQ(*switcher_->resolve("chat"), kA) << "not before the new one is hot";
  executor_.run_all();
  ASSERT_TRUE(done && done->has_value());
  EXPECT_EQ(*switcher_->resolve("chat"), kB);
  EXPECT_EQ(state(kA), State::kParked);
  EXPECT_EQ(state(kB), State::kHot);
  EXPECT_EQ(switcher_->counters().ok, 1U);
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_EQ(seen_[0].text.at("from"), "a@1");
  EXPECT_EQ(seen_[0].text.at("result"), "ok");
}

TEST_F(SwitcherTest, RequestsOnTheOldVersionEndWhole) {
  auto lease = manager_->acquire_blocking(kA);
  ASSERT_TRUE(lease);
  switcher_->switch_alias("chat", kB, {}, {});
  executor_.run_all();
  EXPECT_EQ(*switcher_->resolve("chat"), kB);
  EXPECT_EQ(state(kA), State::kDraining);
  EXPECT_FALSE(lease->revoked().stop_requested());
  lease->release();
  executor_.run_all();
  EXPECT_EQ(state(kA), State::kParked);
}

TEST_F(SwitcherTest, AFailureBeforeTheFlipLeavesTheOldVersionServing) {
  world_.fail_load("b", Error{ErrorCode::kInternal, "broken"});
  std::optional<Status> done;
  switcher_->switch_alias("chat", kB, {}, [&](const Status& status) { done = status; });
  executor_.run_all();
  ASSERT_TRUE(done && !done->has_value());
  EXPECT_THAT(done->error().message, HasSubstr("loading 'b@1' failed, 'a@1' goes on serving: broken"));
  EXPECT_EQ(*switcher_->resolve("chat"), kA);
  EXPECT_EQ(state(kA), State::kHot);
  EXPECT_EQ(switcher_->counters().failed, 1U);
}

TEST_F(SwitcherTest, AVersionThatAnotherAliasNeedsStaysHot) {
  ASSERT_TRUE(switcher_->set_aliases({{"chat", kA}, {"code", kA}}));
  switcher_->switch_alias("chat", kB, {}, {});
  executor_.run_all();
  EXPECT_EQ(state(kA), State::kHot);
  switcher_->switch_alias("code", kB, {.old = OldVersion::kKeep}, {});
  executor_.run_all();
  EXPECT_EQ(state(kA), State::kHot) << "asked to be kept";
}

TEST_F(SwitcherTest, SwitchesOfOneAliasFollowEachOther) {
  std::vector<std::string> order;
  switcher_->switch_alias("chat", kB, {}, [&](const Status&) { order.push_back("to b"); });
  switcher_->switch_alias("chat", kA, {}, [&](const Status&) { order.push_back("to a"); });
  executor_.run_all();
  EXPECT_THAT(order, ElementsAre("to b", "to a"));
  EXPECT_EQ(*switcher_->resolve("chat"), kA);
}

TEST_F(SwitcherTest, WhatIsNotThereIsRefused) {
  std::optional<Status> done;
  switcher_->switch_alias("other", kB, {}, [&](const Status& status) { done = status; });
  EXPECT_EQ(done->error().code, ErrorCode::kNotFound);
  switcher_->switch_alias("chat", {"b", "9"}, {}, [&](const Status& status) { done = status; });
  EXPECT_EQ(done->error().code, ErrorCode::kNotFound);
  EXPECT_EQ(switcher_->set_aliases({{"x", {"nobody", "1"}}}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(switcher_->set_aliases({{"a", kB}}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(switcher_->set_aliases({{"x", kA}, {"x", kB}}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(switcher_->aliases(), ElementsAre(Alias{"chat", kA}));
}

TEST_F(SwitcherTest, ASwitchInProgressIsCancelledAtTheEnd) {
  std::vector<ErrorCode> codes;
  const auto note = [&](const Status& status) { codes.push_back(status.error().code); };
  switcher_->switch_alias("chat", kB, {}, note);
  switcher_->switch_alias("chat", kA, {}, note);
  switcher_.reset();
  EXPECT_THAT(codes, ElementsAre(ErrorCode::kCancelled, ErrorCode::kCancelled));
}

TEST(AliasTable, ReadersSeeOneVersionOrTheOtherWhileItMoves) {
  AliasTable table;
  ASSERT_TRUE(table.set_all({{"chat", kA}}));
  std::jthread writer([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      (void)table.point("chat", kB);
      (void)table.point("chat", kA);
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const auto seen = table.find("chat");
    ASSERT_TRUE(seen == kA || seen == kB);
  }
}

}  // namespace
}  // namespace switchyard::traffic
