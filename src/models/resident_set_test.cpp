#include "models/resident_set.h"

#include "models/manager_fixture.h"

namespace switchyard::models {
namespace {

using store::ResidentRow;
using ::testing::ElementsAre;
using testing::model_called;
using testing::ref;

class ResidentSetTest : public testing::ManagerTest {
 public:
  ~ResidentSetTest() override { set_.reset(); }

 protected:
  ResidentSetTest() { limits_.models_max = 3; }

  void watch(ResidentSet::Restore restore) {
    set_.emplace(ResidentSet::Dependencies{*manager_, executor_, events_, state_}, restore);
    executor_.run_all();
  }
  std::vector<ResidentRow> noted() { return store::ResidentStore(state_).residents().value(); }
  void note(const std::vector<ResidentRow>& rows) {
    ASSERT_TRUE(store::ResidentStore(state_).put(rows).has_value());
  }

  store::StateDatabase state_;
  std::optional<ResidentSet> set_;
};

TEST_F(ResidentSetTest, NotesWhatIsInMemoryInTheOrderOfUse) {
  start({model_called("a"), model_called("b")});
  watch(ResidentSet::Restore::kYes);
  use("a");
  clock_.advance(std::chrono::seconds(1));
  use("b");
  EXPECT_THAT(noted(), ElementsAre(ResidentRow{"b@1", "hot"}, ResidentRow{"a@1", "hot"}));
  ASSERT_TRUE(manager_->park(ref("b")).has_value());
  executor_.run_all();
  clock_.advance(std::chrono::seconds(1));
  use("a");
  set_->note();
  executor_.run_all();
  EXPECT_THAT(noted(), ElementsAre(ResidentRow{"a@1", "hot"}, ResidentRow{"b@1", "parked"}));
}

TEST_F(ResidentSetTest, BringsBackWhatWasThere) {
  note({{"b@1", "hot"}, {"gone@1", "hot"}, {"a@1", "parked"}});
  start({model_called("a"), model_called("b")});
  watch(ResidentSet::Restore::kYes);
  EXPECT_EQ(state("b"), State::kHot);
  EXPECT_EQ(state("a"), State::kParked);
  std::vector<std::string> order;
  for (const auto& event : seen_) {
    if (event.type == "state" && event.text.at("to") == "loading") order.push_back(event.model);
  }
  EXPECT_THAT(order, ElementsAre("b", "a")) << "one after the other, in the order of use";
}

TEST_F(ResidentSetTest, TakesFreeRoomOnly) {
  limits_.models_max = 1;
  note({{"a@1", "hot"}, {"b@1", "hot"}});
  start({model_called("a"), model_called("b"), model_called("c")});
  use("c");
  watch(ResidentSet::Restore::kYes);
  EXPECT_EQ(state("c"), State::kHot);
  EXPECT_EQ(state("a"), State::kCold);
  EXPECT_THAT(noted(), ElementsAre(ResidentRow{"c@1", "hot"}));
}

TEST_F(ResidentSetTest, AKillInTheMiddleForgetsNothing) {
  note({{"a@1", "hot"}, {"b@1", "hot"}});
  start({model_called("a"), model_called("b")});
  set_.emplace(ResidentSet::Dependencies{*manager_, executor_, events_, state_}, ResidentSet::Restore::kYes);
  while (state("a") != State::kHot && executor_.run_one()) {
  }
  executor_.run_one();
  set_.reset();  // as good as a kill: nothing is noted at the end
  const auto rows = noted();
  EXPECT_EQ(rows.size(), 2U);
}

TEST_F(ResidentSetTest, NothingComesBackWhenItIsNotWanted) {
  note({{"a@1", "hot"}});
  start({model_called("a")});
  watch(ResidentSet::Restore::kNo);
  EXPECT_EQ(state("a"), State::kCold);
}

}  // namespace
}  // namespace switchyard::models
