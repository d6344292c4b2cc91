#include "models/manager_fixture.h"

namespace switchyard::models {
namespace {

using namespace testing;

class ManagerShedTest : public ManagerTest {
 protected:
  ManagerShedTest() { limits_.models_max = 0; }

  std::vector<std::string> shed(ByteSize bytes) {
    std::vector<std::string> names;
    for (const VersionRef& version : manager_->shed(bytes).versions) names.push_back(version.model);
    executor_.run_all();
    return names;
  }
  using Names = std::vector<std::string>;
};

TEST_F(ManagerShedTest, FreesParkedOnesThenIdleOnesAndSaysWhy) {
  start({model_called("a"), model_called("b"), model_called("c")});
  use("a");
  use("b");
  Answer& busy = ask_and_run("c");
  ASSERT_TRUE(manager_->park(ref("b")));
  executor_.run_all();
  EXPECT_EQ(shed(ByteSize()), Names{"b"});
  EXPECT_EQ(state("b"), State::kCold);
  EXPECT_EQ(seen_.back().text.at("cause"), "pressure");
  EXPECT_EQ(shed(ByteSize::gib(1)), Names{"a"}) << "c answers";
  EXPECT_EQ(state("c"), State::kHot);
  EXPECT_EQ(manager_->counters().evictions.at("pressure"), 2U);
  busy.lease.release();
  EXPECT_EQ(shed(ByteSize()), Names{"c"});
  EXPECT_EQ(manager_->reserved(), ByteSize());
  EXPECT_EQ(shed(ByteSize::gib(1)), Names{}) << "nothing is left";
}

TEST_F(ManagerShedTest, LeavesPinnedAndKeptOnesAndWhatWasShedComesBackWhenItIsAskedFor) {
  start({model_called("a"), model_called("b")});
  use("a");
  use("b");
  ASSERT_TRUE(manager_->pin("a", true));
  {
    const Keep keep = manager_->keep(ref("b"));
    EXPECT_EQ(shed(ByteSize::gib(1)), Names{});
  }
  EXPECT_EQ(shed(ByteSize::gib(1)), Names{"b"});
  use("b");
  EXPECT_EQ(state("b"), State::kHot);
}

TEST_F(ManagerShedTest, APulseIsAnsweredWhenTheTimerComesRound) {
  start({model_called("a")});
  int answered = 0;
  manager_->pulse([&] { ++answered; });
  EXPECT_EQ(answered, 0);
  manager_->tick();
  manager_->tick();
  EXPECT_EQ(answered, 1);
}

}  // namespace
}  // namespace switchyard::models
