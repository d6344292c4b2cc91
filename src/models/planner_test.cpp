#include "models/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "models/fake_engine.h"
#include "models/lifecycle.h"

namespace switchyard::models {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::inspection_of;
using ::testing::IsEmpty;

const TimePoint kNow = TimePoint(1h);

std::shared_ptr<const Footprint> footprint(const std::string& key, std::uint64_t mib) {
  const auto inspection = inspection_of(key, mib);
  return std::make_shared<const Footprint>(hot_charge(inspection), parked_charge(inspection));
}

/// A version of `mib` in `state` since long ago. What is hot has been used.
Candidate version(const std::string& name, State state, std::uint64_t mib = 100) {
  Candidate c{.name = name, .state = state, .footprint = footprint(name, mib)};
  c.hot_since = kNow - 1h;
  c.idle_since = kNow - 10s;
  c.used = true;
  c.came_back_in = 1s;
  if (counts_as_loaded(state)) c.held = c.footprint->hot;
  if (state == State::kParked) c.held = c.footprint->parked;
  return c;
}
Candidate busy(Candidate c, std::uint32_t leases = 1) {
  c.leases = leases;
  return c;
}
Candidate pinned(Candidate c) {
  c.pinned = true;
  return c;
}
Candidate idle_for(Candidate c, Duration time) {
  c.idle_since = kNow - time;
  return c;
}
Candidate back_in(Candidate c, Duration time) {
  c.came_back_in = time;
  return c;
}
Candidate weighing(Candidate c, double weight) {
  c.weight = weight;
  return c;
}
Candidate wanted(Candidate c, Duration waited) {
  c.wanted = true;
  c.waiting_since = kNow - waited;
  c.inspection = InspectionState::kDone;
  return c;
}
Candidate polite(Candidate c) {
  c.polite = true;
  return c;
}
Candidate draining_for(Candidate c, std::optional<std::size_t> whom) {
  c.drain = DrainCause::kRoom;
  c.drains_for = whom;
  return c;
}

std::string word(Action::Kind kind) {
  switch (kind) {
    case Action::Kind::kInspect: return "inspect";
    case Action::Kind::kLoad: return "load";
    case Action::Kind::kPark: return "park";
    case Action::Kind::kUnload: return "unload";
    case Action::Kind::kDrain: return "drain";
    case Action::Kind::kCallOff: return "call off";
    case Action::Kind::kFinishDrain: return "finish";
    case Action::Kind::kRefuse: return "refuse";
  }
  return "?";
}

struct Case {
  std::string name;
  std::uint32_t models_max;
  std::uint64_t budget_mib;
  std::vector<Candidate> versions;
  std::vector<std::string> expected;  ///< "park a (memory)"
};

Plan plan_of(const Case& c) {
  Snapshot snapshot{
      .now = kNow, .candidates = c.versions, .usage = {}, .budgets = {}, .models_max = c.models_max};
  snapshot.budgets["host"] = ByteSize::mib(c.budget_mib);
  snapshot.max_wait = 5s;
  for (const Candidate& one : c.versions) {
    if (one.held) snapshot.usage.add(*one.held);
  }
  return make_plan(snapshot);
}

std::vector<std::string> actions_of(const Case& c) {
  std::vector<std::string> actions;
  for (const Action& action : plan_of(c).actions) {
    actions.push_back(word(action.kind) + " " + c.versions[action.index].name +
                      (action.reason.empty() ? "" : " (" + action.reason + ")"));
  }
  return actions;
}

class PlannerTable : public ::testing::TestWithParam<Case> {};

TEST_P(PlannerTable, DoesWhatTheTableSays) { EXPECT_EQ(actions_of(GetParam()), GetParam().expected); }

const State kHot = State::kHot;
const State kCold = State::kCold;
const State kParked = State::kParked;
const State kDraining = State::kDraining;

INSTANTIATE_TEST_SUITE_P(
    Admission, PlannerTable,
    ::testing::Values(
        Case{"NothingToDo", 1, 1000, {version("a", kHot)}, {}},
        Case{"FreeRoom", 2, 1000, {version("a", kHot), wanted(version("b", kCold), 0s)}, {"load b"}},
        Case{"IdleGivesWay",
             1,
             1000,
             {version("a", kHot), wanted(version("b", kCold), 0s)},
             {"park a (models_max)"}},
        Case{"MemoryParksFirst",
             0,
             150,
             {version("a", kHot), wanted(version("b", kCold), 0s)},
             {"park a (memory)"}},
        Case{"ThenUnloads",
             0,
             120,
             {version("a", kHot), wanted(version("b", kCold), 0s)},
             {"unload a (memory)"}},
        Case{"ParkedGoesForMemory",
             0,
             120,
             {version("a", kParked), wanted(version("b", kCold), 0s)},
             {"unload a (memory)"}},
        Case{"ParkedCountsForNoPlace",
             1,
             1000,
             {version("a", kParked), wanted(version("b", kCold), 0s)},
             {"load b"}},
        Case{"PinnedStays",
             1,
             1000,
             {pinned(version("a", kHot)), wanted(version("b", kCold), 0s)},
             {"refuse b"}},
        Case{"TooLargeEvictsNothing",
             0,
             150,
             {version("a", kHot), wanted(version("b", kCold, 400), 9s)},
             {"refuse b"}},
        Case{"NeverInVain",
             0,
             250,
             {busy(version("a", kHot)), version("c", kHot, 40), wanted(version("b", kCold, 200), 1s)},
             {}},
        Case{"PoliteEvictsNobody",
             1,
             1000,
             {version("a", kHot), polite(wanted(version("b", kCold), 0s))},
             {"refuse b"}},
        Case{"OnlyWhatIsNeeded",
             0,
             220,
             {idle_for(version("small", kHot, 20), 100s), version("a", kHot, 120),
              wanted(version("b", kCold), 0s)},
             {"park a (memory)"}}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Choice, PlannerTable,
    ::testing::Values(Case{"LongestIdle",
                           2,
                           1000,
                           {idle_for(version("a", kHot), 5s), idle_for(version("c", kHot), 50s),
                            wanted(version("b", kCold), 0s)},
                           {"park c (models_max)"}},
                      Case{"QuickestBack",
                           2,
                           1000,
                           {back_in(version("a", kHot), 3s), back_in(version("c", kHot), 1s),
                            wanted(version("b", kCold), 0s)},
                           {"park c (models_max)"}},
                      Case{"LightestWeight",
                           2,
                           1000,
                           {weighing(version("a", kHot), 1), weighing(version("c", kHot), 4),
                            wanted(version("b", kCold), 0s)},
                           {"park a (models_max)"}},
                      Case{"OldestWaiterFirst",
                           1,
                           1000,
                           {wanted(version("b", kCold), 1s), wanted(version("c", kCold), 2s)},
                           {"load c"}},
                      Case{"SmallerOneTakesWhatTheFirstCannotUse",
                           0,
                           300,
                           {busy(version("a", kHot, 160)), wanted(version("big", kCold, 200), 2s),
                            wanted(version("s", kCold, 40), 1s)},
                           {"load s"}},
                      Case{"ButNotTheRoomTheFirstWaitsFor",
                           0,
                           300,
                           {busy(version("a", kHot, 200)), wanted(version("big", kCold, 240), 2s),
                            wanted(version("s", kCold, 40), 1s)},
                           {}}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Busy, PlannerTable,
    ::testing::Values(
        Case{"IsLeftAloneAtFirst", 1, 1000, {busy(version("a", kHot)), wanted(version("b", kCold), 4s)}, {}},
        Case{"GivesWayAfterMaxWait",
             1,
             1000,
             {busy(version("a", kHot)), wanted(version("b", kCold), 5s)},
             {"drain a (models_max)"}},
        Case{"FewestLeases",
             2,
             1000,
             {busy(version("a", kHot), 3), busy(version("c", kHot), 1), wanted(version("b", kCold), 5s)},
             {"drain c (models_max)"}},
        Case{"IsNotDrainedTwice",
             1,
             1000,
             {draining_for(busy(version("a", kDraining)), 1), wanted(version("b", kCold), 9s)},
             {}},
        Case{"CalledOff",
             1,
             1000,
             {draining_for(busy(version("a", kDraining)), std::nullopt)},
             {"call off a"}},
        Case{"CalledOffWhenRoomCameElsewhere",
             2,
             1000,
             {draining_for(busy(version("a", kDraining)), 2), version("c", kHot),
              wanted(version("b", kCold), 9s)},
             {"park c (models_max)", "call off a"}},
        Case{"LeavesWhenItsLastLeaseIsBack",
             1,
             1000,
             {draining_for(version("a", kDraining), 1), wanted(version("b", kCold), 9s)},
             {"finish a"}},
        Case{"PinnedIsNotDrained",
             2,
             1000,
             {pinned(busy(version("a", kHot))), busy(version("c", kHot)), wanted(version("b", kCold), 5s)},
             {"drain c (models_max)"}}),
    [](const auto& test) { return test.param.name; });

TEST(Planner, WakesWhenPatienceEnds) {
  const Case c{"", 1, 1000, {busy(version("a", kHot)), wanted(version("b", kCold), 4s)}, {}};
  EXPECT_EQ(plan_of(c).wake_at, kNow + 1s);
}

TEST(Planner, AnUnusedEngineStaysAsLongAsItTookToMakeIt) {
  Candidate fresh = back_in(version("a", kHot), 700ms);
  fresh.used = false;
  fresh.hot_since = kNow - 300ms;
  const Case c{"", 1, 1000, {fresh, wanted(version("b", kCold), 0s)}, {}};
  EXPECT_THAT(actions_of(c), IsEmpty());
  EXPECT_EQ(plan_of(c).wake_at, kNow + 400ms);
}

TEST(Planner, IdleTimesParkAndUnload) {
  Candidate a = version("a", kHot);
  a.park_after = 10s;
  Candidate b = version("b", kParked);
  b.unload_after = 10s;
  Candidate c = version("c", kHot);
  c.park_after = 30s;
  const Case timers{"", 0, 1000, {a, b, c, pinned(a)}, {}};
  EXPECT_THAT(actions_of(timers), ElementsAre("park a (idle)", "unload b (idle)"));
  EXPECT_EQ(plan_of(timers).wake_at, kNow + 20s);
}

TEST(Planner, WhatIsOverLoweredLimitsMakesWayOnceIdle) {
  const Candidate fresh = idle_for(version("a", kHot), 1s);
  const Candidate old = idle_for(version("b", kHot), 1h);
  EXPECT_THAT(actions_of({"", 2, 1000, {fresh, old}, {}}), IsEmpty());
  EXPECT_THAT(actions_of({"", 1, 1000, {fresh, old}, {}}), ElementsAre("park b (models_max)"));
  EXPECT_THAT(actions_of({"", 1, 1000, {fresh, busy(old)}, {}}), ElementsAre("park a (models_max)"));
  EXPECT_THAT(actions_of({"", 1, 1000, {busy(fresh), busy(old)}, {}}), IsEmpty());
  EXPECT_THAT(actions_of({"", 1, 1000, {fresh, pinned(old)}, {}}), ElementsAre("park a (models_max)"));
  EXPECT_THAT(actions_of({"", 0, 150, {fresh, old}, {}}), ElementsAre("park b (memory)"));
  EXPECT_THAT(actions_of({"", 0, 110, {fresh, version("b", kParked)}, {}}), ElementsAre("park a (memory)"));
}

TEST(Planner, AParkedOneIsInspectedAgainForOtherBudgets) {
  Candidate parked = wanted(version("a", kParked), 0s);
  parked.inspection = InspectionState::kNeeded;
  EXPECT_THAT(actions_of({"", 0, 1000, {parked}, {}}), ElementsAre("load a"));
  parked.stale = true;
  EXPECT_THAT(actions_of({"", 0, 1000, {parked}, {}}), ElementsAre("inspect a"));
  parked.inspection = InspectionState::kDone;
  EXPECT_THAT(actions_of({"", 0, 1000, {parked}, {}}), ElementsAre("load a"));
}

TEST(Planner, ARefusalSaysWhatIsNeededFreeAndEvictable) {
  const Case c{
      "",
      0,
      200,
      {version("gemma", kHot, 60), pinned(version("smol", kHot, 80)), wanted(version("b", kCold), 0s)},
      {}};
  EXPECT_THAT(actions_of(c), ElementsAre("park gemma (memory)"));
  const Case over{
      "",
      0,
      200,
      {version("gemma", kHot, 60), pinned(version("smol", kHot, 120)), wanted(version("b", kCold), 0s)},
      {}};
  const Plan plan = plan_of(over);
  ASSERT_EQ(plan.actions.size(), 1U);
  EXPECT_EQ(plan.actions[0].error->code, ErrorCode::kDoesNotFit);
  EXPECT_THAT(
      plan.actions[0].error->message,
      HasSubstr("needs 100.0 MiB, 20.0 MiB of the 200.0 MiB budget is free and 60.0 MiB could be freed by "
                "evicting gemma;"));
}

TEST(Planner, VersionsThatShareWeightsCountThemOnce) {
  Candidate a = version("a", kHot);
  Candidate b = wanted(version("b", kCold), 0s);
  a.footprint = footprint("same", 100);
  a.held = a.footprint->hot;
  b.footprint = footprint("same", 100);
  EXPECT_THAT(actions_of({"", 0, 125, {a, b}, {}}), ElementsAre("load b"));
  EXPECT_THAT(actions_of({"", 0, 124, {busy(a), b}, {}}), IsEmpty());
}

}  // namespace
}  // namespace switchyard::models
