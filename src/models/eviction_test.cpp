#include "models/eviction.h"

#include <gtest/gtest.h>

namespace switchyard::models {
namespace {

using namespace std::chrono_literals;

Charge charge(std::uint64_t bytes, const std::string& key = {}) {
  Charge charge;
  charge.weights_key = key;
  charge.devices["host"][static_cast<std::size_t>(MemoryKind::kVocabulary)] = ByteSize(bytes);
  return charge;
}

/// Versions that each hold so many bytes.
class SheddingTest : public ::testing::Test {
 protected:
  Candidate& add(const std::string& name, State state, std::uint64_t bytes, const std::string& key = {}) {
    Candidate candidate{.name = name, .state = state};
    candidate.held = charge(bytes, key);
    candidate.idle_since = snapshot_.now - 10s;
    candidate.came_back_in = 1s;
    snapshot_.usage.add(*candidate.held);
    snapshot_.candidates.push_back(std::move(candidate));
    return snapshot_.candidates.back();
  }
  std::vector<std::string> shed(std::uint64_t bytes) {
    std::vector<std::string> names;
    const Shedding shedding = choose_to_shed(snapshot_, ByteSize(bytes));
    for (const std::size_t index : shedding.indices) names.push_back(snapshot_.candidates[index].name);
    freed_ = shedding.bytes.bytes();
    return names;
  }
  using Names = std::vector<std::string>;
  Snapshot snapshot_{.now = TimePoint(1h), .candidates = {}, .usage = {}, .budgets = {}};
  std::uint64_t freed_ = 0;
};

TEST_F(SheddingTest, ParkedOnesGoBeforeIdleOnesAndNoMoreThanAreNeeded) {
  add("hot", State::kHot, 100);
  add("parked", State::kParked, 10);
  add("idle longer", State::kParked, 10).idle_since -= 60s;
  EXPECT_EQ(shed(0), Names{"idle longer"}) << "one at least";
  EXPECT_EQ(shed(10), Names{"idle longer"});
  EXPECT_EQ(shed(11), (Names{"idle longer", "parked"}));
  EXPECT_EQ(shed(50), (Names{"idle longer", "parked", "hot"}));
  EXPECT_EQ(freed_, 120U);
}

TEST_F(SheddingTest, NeverWhatIsLeasedPinnedWaitedForOrOnItsWay) {
  add("leased", State::kHot, 10).leases = 1;
  add("pinned", State::kHot, 10).pinned = true;
  add("pinned and parked", State::kParked, 10).pinned = true;
  add("wanted", State::kParked, 10).wanted = true;
  add("leaving", State::kParked, 10).leaving = true;
  for (const State state : {State::kCold, State::kLoading, State::kWarming, State::kDraining,
                            State::kUnloading, State::kFailed}) {
    add("on its way", state, 10);
  }
  EXPECT_EQ(shed(1000), Names{});
  EXPECT_EQ(freed_, 0U);
}

TEST_F(SheddingTest, WeightsThatOthersShareAreNotFreed) {
  add("a", State::kParked, 10, "same file");
  add("b", State::kParked, 10, "same file");
  EXPECT_EQ(shed(5), (Names{"a", "b"})) << "the first one alone frees nothing";
  EXPECT_EQ(freed_, 10U);
}

TEST_F(SheddingTest, TheCheapestToLoseGoesFirst) {
  add("slow to come back", State::kParked, 10).came_back_in = 20s;
  add("heavy", State::kParked, 10).weight = 10;
  add("quick", State::kParked, 10);
  EXPECT_EQ(shed(25), (Names{"quick", "heavy", "slow to come back"}));
}

}  // namespace
}  // namespace switchyard::models
