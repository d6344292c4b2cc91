#include <fmt/format.h>
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

TEST_F(ManagerTest, WhatIsColdIsMadeHotOnlyForThoseWhoMayHaveAnythingMadeHot) {
  start({model_called("a")});
  for (const MakeHot make_hot : {MakeHot::kNothing, MakeHot::kInMemory}) {
    Answer& answer = ask("a", {.make_hot = make_hot});
    ASSERT_TRUE(answer.error);
    EXPECT_EQ(answer.error->code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(answer.error->message, "model is not loaded");
  }
  executor_.run_all();
  EXPECT_EQ(state("a"), State::kCold);
}

TEST_F(ManagerTest, WhatIsInMemoryIsMadeHotForThoseWhoMayNotLoad) {
  start({model_called("a")});
  ask("a");
  Answer& while_loading = ask("a", {.make_hot = MakeHot::kInMemory});
  ASSERT_EQ(while_loading.times, 0);
  executor_.run_all();
  EXPECT_TRUE(while_loading.lease);

  ASSERT_TRUE(manager_->park(ref("a")));
  ASSERT_EQ(state("a"), State::kDraining);
  Answer& while_draining = ask("a", {.make_hot = MakeHot::kInMemory});
  EXPECT_FALSE(while_draining.error);
  answers_[0]->lease.release();
  while_loading.lease.release();
  executor_.run_all();
  EXPECT_TRUE(while_draining.lease);
  while_draining.lease.release();

  ASSERT_TRUE(manager_->park(ref("a")));
  executor_.run_all();
  ASSERT_EQ(state("a"), State::kParked);
  EXPECT_TRUE(ask("a", {.make_hot = MakeHot::kNothing}).error);
  EXPECT_EQ(state("a"), State::kParked);
  Answer& while_parked = ask("a", {.make_hot = MakeHot::kInMemory});
  executor_.run_all();
  EXPECT_TRUE(while_parked.lease);

  ASSERT_TRUE(manager_->unload(ref("a")));
  ASSERT_EQ(state("a"), State::kDraining);
  EXPECT_TRUE(ask("a", {.make_hot = MakeHot::kInMemory}).error) << "it is on its way to cold";
}

TEST_F(ManagerTest, AWaiterGetsATimeoutAndTheLoadGoesOn) {
  start({model_called("a")});
  Answer& answer = ask("a", {.timeout = 1s});
  clock_.advance(2s);
  manager_->tick();
  EXPECT_EQ(answer.error->code, ErrorCode::kTimeout);
  executor_.run_all();
  EXPECT_EQ(answer.times, 1);
}

TEST_F(ManagerTest, AFailedLoadAnswersEveryWaiterAndIsNotRepeatedTooEarly) {
  start({model_called("a")});
  world_.fail_load("a", Error{ErrorCode::kInternal, "broken"});
  Answer& first = ask("a");
  Answer& second = ask("a");
  executor_.run_all();
  EXPECT_EQ(first.error->message, "broken");
  EXPECT_EQ(second.error->message, "broken");
  EXPECT_EQ(state("a"), State::kFailed);
  EXPECT_EQ(ask_and_run("a").error->message, "broken");
  EXPECT_EQ(world_.loads("a"), 1);
  clock_.advance(1s);
  EXPECT_EQ(ask_and_run("a").error->message, "broken");
  EXPECT_EQ(world_.loads("a"), 2);
  clock_.advance(1s);
  ask_and_run("a");
  EXPECT_EQ(world_.loads("a"), 2) << "the second wait is twice as long";
  world_.fail_load("a", std::nullopt);
  ASSERT_TRUE(manager_->load(ref("a")));
  executor_.run_all();
  EXPECT_EQ(state("a"), State::kHot) << "load() always tries";
}

TEST_F(ManagerTest, AChangedFileIsTriedAtOnceAfterAFailure) {
  start({model_called("a")});
  world_.fail_load("a", Error{ErrorCode::kInternal, "broken"});
  ask_and_run("a");
  world_.fail_load("a", std::nullopt);
  world_.set_inspection("a", inspection_of("another file", 100));
  EXPECT_TRUE(ask_and_run("a").lease);
}

TEST_F(ManagerTest, ABadFileCostsNobodyItsPlace) {
  start({model_called("a"), model_called("bad")});
  use("a");
  world_.fail_inspection("bad", Error{ErrorCode::kCorruptFile, "damaged"});
  EXPECT_EQ(ask_and_run("bad").error->message, "damaged");
  EXPECT_EQ(state("a"), State::kHot);
  EXPECT_EQ(state("bad"), State::kFailed);
  world_.fail_inspection("bad", Error{ErrorCode::kNotFound, "gone"});
  EXPECT_EQ(ask_and_run("bad").error->message, "gone");
  EXPECT_THAT(moves_of("bad"), ElementsAre("failed", "failed")) << "each try is told";
  EXPECT_EQ(seen_.back().text.at("error"), "gone");
  EXPECT_EQ(manager_->counters().loads_failed, 2U);
  world_.fail_inspection("bad", std::nullopt);
  EXPECT_TRUE(ask_and_run("bad").lease);
}

TEST_F(ManagerTest, ATooLargeModelCostsNobodyItsPlace) {
  world_.set_inspection("big", inspection_of("big", 2000));
  start({model_called("a"), model_called("big")});
  use("a");
  Answer& big = ask_and_run("big");
  EXPECT_EQ(big.error->code, ErrorCode::kDoesNotFit);
  EXPECT_THAT(big.error->message, HasSubstr("evicting a@1"));
  EXPECT_EQ(state("a"), State::kHot);
  EXPECT_EQ(world_.loads("big"), 0);
}

TEST_F(ManagerTest, RoomForOneAndABusyModelTheOtherGetsInWithinTheWait) {
  start({model_called("a"), model_called("b")});
  std::vector<Answer*> clients = {&ask_and_run("a"), &ask_and_run("a"), &ask_and_run("a")};
  Answer& b = ask("b");
  for (int round = 0; round < 10 && b.times == 0; ++round) {
    pass(600ms);
    for (Answer*& client : clients) {  // each ends its reply and asks again at once
      if (client->times == 0) continue;
      EXPECT_FALSE(client->lease.revoked().stop_requested());
      Answer& next = ask("a");
      client->lease.release();
      executor_.run_all();
      client = &next;
    }
  }
  ASSERT_TRUE(b.lease);
  EXPECT_EQ(clients[0]->times, 0) << "A's new requests are held";
  b.lease.release();
  executor_.run_all();
  EXPECT_TRUE(clients[0]->lease) << "and get their turn";
}

TEST_F(ManagerTest, ADrainIsCalledOffWhenTheOneItWasForGoesAway) {
  start({model_called("a"), model_called("b")});
  Answer& a = ask_and_run("a");
  ask("b");
  pass(6s);
  EXPECT_EQ(state("a"), State::kDraining);
  Answer& held = ask("a");
  EXPECT_EQ(held.times, 0);
  tickets_[1].cancel();
  EXPECT_EQ(state("a"), State::kHot);
  EXPECT_TRUE(held.lease);
  EXPECT_TRUE(a.lease);
}

TEST_F(ManagerTest, PinnedStaysButObeysTheHand) {
  start({model_called("a", {.pin = true}), model_called("b")});
  use("a");
  EXPECT_EQ(ask_and_run("b").error->code, ErrorCode::kDoesNotFit);
  EXPECT_EQ(state("a"), State::kHot);
  ASSERT_TRUE(manager_->park(ref("a")));
  executor_.run_all();
  EXPECT_EQ(state("a"), State::kParked);
  ASSERT_TRUE(manager_->pin("a", false));
  EXPECT_TRUE(ask_and_run("b").lease);
}

TEST_F(ManagerTest, UnloadWaitsForLeasesAndRevokesThemAfterTheDrainTimeout) {
  start({model_called("a", {.drain_timeout = 3s})});
  Answer& a = ask_and_run("a");
  std::optional<Status> done;
  ASSERT_TRUE(manager_->unload(ref("a"), [&](const Status& status) { done = status; }));
  pass(2s);
  EXPECT_FALSE(a.lease.revoked().stop_requested());
  pass(2s);
  EXPECT_TRUE(a.lease.revoked().stop_requested());
  EXPECT_FALSE(done) << "it still waits for the lease";
  EXPECT_EQ(world_.alive("a"), 1);
  a.lease.release();
  executor_.run_all();
  EXPECT_TRUE(done && done->has_value());
  EXPECT_EQ(state("a"), State::kCold);
  EXPECT_EQ(manager_->reserved(), ByteSize());
}

TEST_F(ManagerTest, UnloadCancelsALoadAndItsWaiters) {
  start({model_called("a")});
  world_.during_load([&](const std::string&, const std::stop_token& stop) {
    ASSERT_TRUE(manager_->unload(ref("a")));
    EXPECT_TRUE(stop.stop_requested());
  });
  Answer& a = ask_and_run("a");
  EXPECT_EQ(a.error->code, ErrorCode::kCancelled);
  EXPECT_EQ(state("a"), State::kCold);
  EXPECT_EQ(world_.alive("a"), 0);
  EXPECT_EQ(manager_->reserved(), ByteSize());
}

TEST_F(ManagerTest, AResumeThatFailsIsParkedStill) {
  start({model_called("a")});
  use("a");
  EXPECT_EQ(manager_->resume(ref("a")).has_value(), true) << "hot is there already";
  ASSERT_TRUE(manager_->park(ref("a")));
  executor_.run_all();
  world_.fail_load("a", Error{ErrorCode::kInternal, "broken"});
  EXPECT_EQ(ask_and_run("a").error->message, "broken");
  EXPECT_EQ(state("a"), State::kParked);
  EXPECT_EQ(manager_->reserved(), ByteSize::mib(25));
  world_.fail_load("a", std::nullopt);
  ASSERT_TRUE(manager_->resume(ref("a")));
  executor_.run_all();
  EXPECT_EQ(state("a"), State::kHot);
}

TEST_F(ManagerTest, ParkAndResumeRefuseWhatIsNotThere) {
  start({model_called("a")});
  EXPECT_EQ(manager_->park(ref("a")).error().code, ErrorCode::kConflict);
  EXPECT_EQ(manager_->resume(ref("a")).error().code, ErrorCode::kConflict);
  EXPECT_EQ(manager_->load(ref("x")).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(manager_->unload(ref("a")));
}

TEST_F(ManagerTest, IdleTimesParkThenUnload) {
  start({model_called("a", {.park_after = 10s, .unload_after = 60s})});
  use("a");
  pass(9s);
  EXPECT_EQ(state("a"), State::kHot);
  pass(2s);
  EXPECT_EQ(state("a"), State::kParked);
  pass(50s);
  EXPECT_EQ(state("a"), State::kCold);
  EXPECT_EQ(manager_->counters().evictions["idle"], 2U);
}

TEST_F(ManagerTest, AParkedOneComesBackSmallerAfterTheBudgetWasLowered) {
  world_.set_inspection("a", inspection_of("a@1", 800));
  start({model_called("a")});
  use("a");
  ASSERT_TRUE(manager_->park(ref("a")));
  executor_.run_all();
  ASSERT_EQ(state("a"), State::kParked);
  engine::Inspection smaller = inspection_of("a@1", 800);
  smaller.need.items.front().context = ByteSize::mib(50);
  world_.set_inspection("a", smaller);
  limits_.memory_budget = ByteSize::mib(700);
  manager_->set_limits(limits_);
  executor_.run_all();
  EXPECT_TRUE(ask_and_run("a").lease) << "a context chosen for the old budget is not a refusal";
  EXPECT_EQ(state("a"), State::kHot);
}

TEST_F(ManagerTest, LoweredLimitsPutIdleOnesAway) {
  limits_.models_max = 2;
  start({model_called("a"), model_called("b")});
  use("a");
  clock_.advance(1s);
  Answer& held = ask_and_run("b");
  limits_.models_max = 1;
  manager_->set_limits(limits_);
  executor_.run_all();
  EXPECT_EQ(state("a"), State::kParked);
  EXPECT_EQ(state("b"), State::kHot);
  EXPECT_TRUE(held.lease);
}

TEST_F(ManagerTest, PreloadTakesFreeRoomOnly) {
  start({model_called("a", {.preload = true}), model_called("b", {.preload = true})}, Manager::Preload::kAll);
  EXPECT_EQ(state("a"), State::kHot);
  EXPECT_EQ(state("b"), State::kCold);
}

TEST_F(ManagerTest, PagesStayWhileAnotherEngineUsesTheSameWeights) {
  limits_.models_max = 2;
  world_.set_inspection("a", inspection_of("same", 100));
  world_.set_inspection("b", inspection_of("same", 100));
  start({model_called("a"), model_called("b")});
  use("a");
  use("b");
  EXPECT_EQ(manager_->reserved(), ByteSize::mib(125));
  ASSERT_TRUE(manager_->park(ref("a")));
  executor_.run_all();
  EXPECT_EQ(world_.pages_released(), 0);
  EXPECT_EQ(manager_->reserved(), ByteSize::mib(100));
  ASSERT_TRUE(manager_->unload(ref("b")));
  executor_.run_all();
  EXPECT_EQ(world_.pages_released(), 1) << "by the one that is parked";
  EXPECT_EQ(manager_->reserved(), ByteSize::mib(25));
}

TEST_F(ManagerTest, PrivateWeightsThatParkingGaveBackAreFreeForOthers) {
  engine::Inspection inspection = inspection_of("a", 200);
  engine::MemoryNeed::Item& host = inspection.need.items.front();
  host.weights_private = std::exchange(host.weights_mapped, {});
  world_.set_inspection("a", inspection);
  start({model_called("a")});
  const auto park = [&] {
    use("a");
    ASSERT_TRUE(manager_->park(ref("a")));
    executor_.run_all();
  };
  park();
  EXPECT_GE(manager_->reserved(), host.weights_private);
  world_.drop_copies();
  park();
  EXPECT_EQ(manager_->reserved(), host.vocabulary);
  use("a");
  EXPECT_GE(manager_->reserved(), host.weights_private + host.context);
}

TEST_F(ManagerTest, ADeviceWithoutABudgetIsFilledUpToItsMemory) {
  limits_.models_max = 0;
  for (const char* model : {"a", "b"}) {
    engine::Inspection inspection = inspection_of(model, 100);
    inspection.need.items.push_back(
        {.device = "CUDA0", .weights_private = ByteSize::gib(4), .device_memory = ByteSize::gib(8)});
    world_.set_inspection(model, inspection);
  }
  start({model_called("a"), model_called("b")});
  use("a");
  use("b");
  EXPECT_EQ(state("a"), State::kCold) << "parked it would keep its weights on the device";
  EXPECT_EQ(state("b"), State::kHot);
  limits_.device_budgets["CUDA0"] = ByteSize::gib(9);
  manager_->set_limits(limits_);
  use("a");
  EXPECT_EQ(state("b"), State::kHot) << "a budget that is given counts instead";
}

TEST_F(ManagerTest, TheFileOfWhoeverWaitsForRoomIsReadAhead) {
  start({model_called("a"), model_called("b")});
  Answer& a = ask_and_run("a");
  EXPECT_THAT(world_.prefetched(), IsEmpty()) << "it was loaded at once";
  Answer& b = ask_and_run("b");
  EXPECT_EQ(b.times, 0);
  pass(std::chrono::milliseconds(1));
  EXPECT_THAT(world_.prefetched(), ElementsAre("b")) << "once";
  a.lease.release();
  executor_.run_all();
  EXPECT_TRUE(b.lease);
}

TEST_F(ManagerTest, KeptConversationsAreNoRoomForModels) {
  limits_.memory_budget = ByteSize::mib(110);
  limits_.conversations = ByteSize::mib(20);
  start({model_called("a")});
  EXPECT_EQ(ask_and_run("a").error->code, ErrorCode::kDoesNotFit) << "it takes 100 MiB";
}

TEST_F(ManagerTest, InspectionsInTheBackgroundComeOneAtATimeAndAreKept) {
  manager_.emplace(
      Manager::Dependencies{
          .loader = loader_, .executor = executor_, .events = events_, .clock = clock_, .own_timer = false},
      limits_);
  std::vector<ModelDefinition> many;
  for (int i = 0; i < 1000; ++i) many.push_back(model_called(fmt::format("m{}", i)));
  ASSERT_TRUE(manager_->set_catalog(many, Manager::Preload::kNone));
  EXPECT_EQ(executor_.size(), 1U);
  executor_.run_one();
  EXPECT_EQ(executor_.size(), 1U);
  EXPECT_TRUE(manager_->describe("m0")->versions[0].inspection);
  executor_.run_all();
  EXPECT_EQ(world_.inspections("m999"), 1);
  EXPECT_THAT(seen_, IsEmpty());
  EXPECT_EQ(manager_->list().size(), 1000U);
}

TEST_F(ManagerTest, AColdVersionKeepsNoDetailsOfItsFile) {
  engine::Inspection inspection = inspection_of("a@1", 100);
  inspection.details_json = std::string(1 << 20, '.');
  for (const char* model : {"a", "b"}) world_.set_inspection(model, inspection);
  start({model_called("a"), model_called("b")});
  manager_->inspect(ref("b"), [](const auto&) {});
  executor_.run_all();
  for (const ModelStatus& model : manager_->list()) {
    ASSERT_NE(model.versions[0].inspection, nullptr);
    EXPECT_LT(model.versions[0].inspection->details_json.capacity(), 100U);
  }
}

TEST_F(ManagerTest, ShuttingDownRefusesNewOnesAndLeavesWhatIsHeld) {
  start({model_called("a")});
  Answer& held = ask("a");
  manager_->begin_shutdown();
  EXPECT_EQ(ask("a").error->code, ErrorCode::kUnavailable);
  executor_.run_all();
  EXPECT_TRUE(held.lease);
  held.lease.release();
  manager_->drain_all(0s);
}

TEST_F(ManagerTest, ShuttingDownStopsTheInspectionsThatNobodyWaitsFor) {
  ModelSettings preload;
  preload.preload = true;
  manager_.emplace(
      Manager::Dependencies{
          .loader = loader_, .executor = executor_, .events = events_, .clock = clock_, .own_timer = false},
      limits_);
  ASSERT_TRUE(manager_->set_catalog({model_called("a"), model_called("b", preload)}, Manager::Preload::kAll));
  manager_->begin_shutdown();
  executor_.run_all();
  EXPECT_EQ(world_.inspections("a") + world_.inspections("b"), 0);
  EXPECT_EQ(world_.loads("b"), 0);
}

TEST_F(ManagerTest, DrainingAllRefusesWhatStillWaits) {
  start({model_called("a")});
  Answer& held = ask("a");
  std::optional<Status> loaded;
  ASSERT_TRUE(manager_->load(ref("a"), [&](const Status& status) { loaded = status; }));
  manager_->begin_shutdown();
  EXPECT_EQ(held.times, 0);
  manager_->drain_all(0s);
  EXPECT_EQ(held.error->code, ErrorCode::kUnavailable);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->error().code, ErrorCode::kUnavailable);
}

TEST_F(ManagerTest, BlockingAcquireEndsWhenItIsStopped) {
  start({model_called("a")});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(manager_->acquire_blocking(ref("a"), {}, stop.get_token()).error().code, ErrorCode::kCancelled);
  use("a");
  EXPECT_TRUE(manager_->acquire_blocking(ref("a")));
}

}  // namespace
}  // namespace switchyard::models
