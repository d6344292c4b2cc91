#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "models/manager_fixture.h"

namespace switchyard::models {
namespace {

using namespace std::chrono_literals;
using testing::Answer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::inspection_of;
using ::testing::IsEmpty;
using testing::ManagerTest;
using testing::model_called;
using testing::ref;

TEST_F(ManagerTest, AColdModelIsMadeHotForTheOneWhoAsksAndEveryMoveIsAnEvent) {
  start({model_called("a")});
  Answer& answer = ask("a");
  EXPECT_EQ(answer.times, 0);
  executor_.run_all();
  EXPECT_EQ(answer.times, 1);
  ASSERT_TRUE(answer.lease);
  EXPECT_EQ(answer.lease.version(), ref("a"));
  EXPECT_THAT(moves_of("a"), ElementsAre("loading", "warming", "hot"));
  EXPECT_EQ(seen_.front().text.at("cause"), "request");
  EXPECT_TRUE(std::ranges::any_of(seen_, [](const auto& e) {
    return e.type == "load_progress" && e.text.at("stages") == "text_model,warmup";
  }));
}

TEST_F(ManagerTest, AHotModelIsLeasedAtOnce) {
  start({model_called("a")});
  use("a");
  EXPECT_TRUE(ask("a").lease);
}

TEST_F(ManagerTest, ManyWaitersOneLoadAndOneThatLeavesDoesNotStopIt) {
  start({model_called("a")});
  ask("a");
  Answer& second = ask("a");
  Answer& third = ask("a");
  tickets_[1].cancel();
  executor_.run_all();
  EXPECT_EQ(world_.loads("a"), 1);
  EXPECT_EQ(second.times, 0);
  EXPECT_TRUE(third.lease);
}

TEST_F(ManagerTest, RoomForOneIsGivenToTheNextByParkingTheIdleOne) {
  start({model_called("a"), model_called("b")});
  use("a");
  Answer& b = ask_and_run("b");
  EXPECT_TRUE(b.lease);
  EXPECT_EQ(state("a"), State::kParked);
  EXPECT_EQ(world_.pages_released(), 1);
  EXPECT_EQ(manager_->counters().evictions["models_max"], 1U);
  EXPECT_EQ(manager_->reserved(), ByteSize::mib(125));
}

}  // namespace
}  // namespace switchyard::models
