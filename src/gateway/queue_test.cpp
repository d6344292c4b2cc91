#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gateway/gateway.h"
#include "gateway/scripted_engine.h"
#include "models/fake_engine.h"

// Requests that have a hot engine and wait for a slot of it, on threads that a test chooses.

namespace switchyard::gateway {
namespace {

using namespace std::chrono_literals;
using testing::Script;

const models::VersionRef kA{"a", "1"}, kB{"b", "1"};

/// Of one request: how it was answered.
struct Client final : ReplySink {
  void respond(ReplyHead, std::string body) override { answer = std::move(body); }
  void start(ReplyHead) override {}
  bool write(std::string bytes) override {
    answer += bytes;
    return !slow;
  }
  void when_writable(std::function<void()> callback) override { resume = std::move(callback); }
  [[nodiscard]] Ending ending() const override { return Ending::kUnknown; }
  [[nodiscard]] TokenCounts tokens() const override { return {.prompt = 5, .generated = 5}; }
  void finish() override { done = true; }
  void fail(const Error& failed) override {
    error = failed;
    resume = nullptr;
  }
  [[nodiscard]] bool client_gone() const override { return gone; }
  void on_client_gone(std::function<void()> callback) override { when_gone = std::move(callback); }
  void leave() {
    gone = true;
    if (when_gone) when_gone();
  }

  bool slow = false, gone = false, done = false;
  std::string answer;
  std::optional<Error> error;
  std::function<void()> resume, when_gone;
};

class QueueTest : public ::testing::Test {
 public:
  ~QueueTest() override {
    gateway_.stop_all();
    workers_.run_all();
  }

 protected:
  QueueTest() {
    models::Limits limits;
    limits.memory_budget = ByteSize::gib(1);
    limits.models_max = 1;
    manager_.set_limits(limits);
    EXPECT_TRUE(manager_.set_catalog({testing::model_called("a"), testing::model_called("b")},
                                     models::Manager::Preload::kNone));
    EXPECT_TRUE(manager_.load(kA));
  }

  std::shared_ptr<Client> ask_with(CallOptions options) {
    engine::Request request;
    request.method = "POST";
    request.path = "/v1/completions";
    auto client = std::make_shared<Client>();
    options.takes_slot = true;
    gateway_.run(std::move(options), std::move(request), client);
    return client;
  }
  std::shared_ptr<Client> ask(const std::string& model = "a") { return ask_with({.model = model}); }
  /// One that has the slot of "a" until its executor goes on.
  std::shared_ptr<Client> occupy() {
    auto client = ask();
    EXPECT_EQ(workers_.size(), 1U);
    return client;
  }
  std::uint32_t leases(const models::VersionRef& version) { return manager_.standing(version)->leases; }

  InlineExecutor loads_;
  models::testing::ManualExecutor workers_;
  FakeClock clock_;
  telemetry::EventBus events_;
  testing::Answer answer_ = [](engine::Request&) { return Script{.body = "whole"}; };
  testing::ScriptedLoader loader_{[this](engine::Request& request) { return answer_(request); }, 1};
  models::Manager manager_{
      {.loader = loader_, .executor = loads_, .events = events_, .clock = clock_, .own_timer = false}, {}};
  std::vector<RequestRecord> records_;
  Gateway gateway_{{.manager = manager_,
                    .executor = workers_,
                    .route =
                        [](const std::string& name, const std::string&,
                           const std::function<void(Result<models::VersionRef>)>& done) {
                          done(models::VersionRef{name, "1"});
                        },
                    .resolve = [](const std::string& name) -> Result<models::VersionRef> {
                      return models::VersionRef{name, "1"};
                    },
                    .observer = [this](const RequestRecord& record) { records_.push_back(record); },
                    .before_release = {},
                    .clock = clock_}};
};

TEST_F(QueueTest, MoreThanTheSlotsWait) {
  const auto first = ask(), second = ask();
  EXPECT_EQ(workers_.size(), 1U);
  EXPECT_EQ(gateway_.waiting_for_slots().at("a"), 1U);
  clock_.advance(3s);
  workers_.run_all();
  EXPECT_EQ(first->answer, "whole");
  EXPECT_EQ(second->answer, "whole");
  ASSERT_EQ(records_.size(), 2U);
  EXPECT_EQ(records_[0].queued, 0s);
  EXPECT_EQ(records_[1].queued, 3s);
  EXPECT_EQ(gateway_.waiting_for_slots().at("a"), 0U);
}

TEST_F(QueueTest, WhatTakesNoSlotDoesNotWait) {
  const auto busy = occupy();
  engine::Request request;
  request.path = "/props";
  const auto client = std::make_shared<Client>();
  gateway_.run({.model = "a"}, std::move(request), client);
  EXPECT_EQ(workers_.size(), 2U);
}

TEST_F(QueueTest, ATenantsRequestsDoNotMakeAnothersWaitForAllOfThem) {
  std::vector<std::shared_ptr<Client>> flood;
  for (int i = 0; i < 20; ++i) flood.push_back(ask_with({.model = "a", .tenant = "flood"}));
  const auto other = ask_with({.model = "a", .tenant = "other"});
  workers_.run_one();
  workers_.run_one();
  EXPECT_EQ(flood[0]->answer, "whole");
  EXPECT_EQ(other->answer, "whole");
  EXPECT_EQ(flood[1]->answer, "");
}

TEST_F(QueueTest, AClientThatLeavesLeavesTheQueue) {
  const auto busy = occupy();
  const auto second = ask(), third = ask();
  second->leave();
  ASSERT_TRUE(second->error);
  EXPECT_EQ(second->error->code, ErrorCode::kCancelled);
  EXPECT_EQ(leases(kA), 2U);
  workers_.run_all();
  EXPECT_EQ(third->answer, "whole");
  EXPECT_EQ(second->answer, "");
}

TEST_F(QueueTest, OneThatIsOverdueLeavesTheQueue) {
  const auto busy = occupy();
  const auto second = ask_with({.model = "a", .patience = 1s});
  clock_.advance(1s);
  gateway_.end_overdue();
  ASSERT_TRUE(second->error);
  EXPECT_EQ(second->error->code, ErrorCode::kTimeout);
  EXPECT_EQ(leases(kA), 1U);
}

TEST_F(QueueTest, AShutdownRefusesWhatWaits) {
  const auto busy = occupy();
  const auto second = ask();
  gateway_.stop_all();
  ASSERT_TRUE(second->error);
  EXPECT_EQ(second->error->code, ErrorCode::kUnavailable);
}

TEST_F(QueueTest, WhoWaitsAtAnEngineThatBreaksGetsTheNextOne) {
  const auto busy = occupy();
  const auto second = ask();
  EXPECT_TRUE(manager_.mark_broken(kA, {ErrorCode::kUnavailable, "its worker died"}));
  clock_.advance(1min);  // the backoff
  manager_.tick();
  workers_.run_all();
  EXPECT_FALSE(second->error);
  EXPECT_EQ(second->answer, "whole");
  EXPECT_EQ(records_.back().failed.size(), 0U) << "it had asked for nothing yet";
}

TEST_F(QueueTest, AnEngineThatHangsKeepsNobodysTurn) {
  const auto stuck = ask();  // its worker never comes
  const auto second = ask();
  EXPECT_TRUE(manager_.mark_broken(kA, {ErrorCode::kUnavailable, "it hangs"}));
  clock_.advance(1min);
  manager_.tick();
  const auto third = ask();
  EXPECT_EQ(gateway_.waiting_for_slots().at("a"), 1U) << "the third, for the second's reply";
  workers_.run_all();
  EXPECT_EQ(second->answer, "whole");
  EXPECT_EQ(third->answer, "whole");
}

TEST_F(QueueTest, AQueueGivesItsModelsRoomToOneThatHasWaitedForLong) {
  const auto running = occupy();
  std::vector<std::shared_ptr<Client>> queue;
  for (int i = 0; i < 10; ++i) queue.push_back(ask("a"));
  const auto other = ask("b");
  clock_.advance(5s);
  manager_.tick();
  EXPECT_EQ(manager_.standing(kA)->state, models::State::kDraining);
  workers_.run_one();  // the one that runs ends
  while (workers_.size() > 0 && running->answer.empty()) workers_.run_one();
  workers_.run_all();
  EXPECT_EQ(running->answer, "whole");
  EXPECT_EQ(other->answer, "whole");
  clock_.advance(10s);
  manager_.tick();
  workers_.run_all();
  for (const auto& client : queue) EXPECT_EQ(client->answer, "whole") << "in its next turn";
  std::vector<std::string> order;
  order.reserve(records_.size());
  for (const auto& record : records_) order.push_back(record.version.model);
  EXPECT_EQ(order[0], "a");
  EXPECT_EQ(order[1], "b") << "the queue of a did not go before";
}

TEST_F(QueueTest, AnUnloadByHandThatRunsOutOfTimeTellsThoseThatWait) {
  answer_ = [](engine::Request& request) {
    return request.should_stop() ? Script{.body = ""} : Script{.body = "whole"};
  };
  const auto busy = occupy();
  const auto second = ask();
  bool left = false;
  const Status begun =
      manager_.leave(kA, {.to = models::Residency::kCold, .bound = 1s, .at_bound = models::AtBound::kRevoke},
                     [&](const Status&) { left = true; });
  EXPECT_TRUE(begun);
  clock_.advance(1s);
  manager_.tick();
  workers_.run_all();
  ASSERT_TRUE(second->error);
  EXPECT_EQ(second->error->code, ErrorCode::kUnavailable);
  EXPECT_TRUE(left);
}

TEST_F(QueueTest, ASlowReaderKeepsNoTurn) {
  answer_ = [](engine::Request&) { return Script{.pieces = {"one ", "two ", "end"}}; };
  const auto slow = std::make_shared<Client>();
  slow->slow = true;
  engine::Request request;
  request.path = "/v1/completions";
  gateway_.run({.model = "a", .takes_slot = true}, std::move(request), slow);
  workers_.run_all();
  EXPECT_EQ(slow->answer, "one ");
  const auto second = ask();
  EXPECT_EQ(workers_.size(), 0U);
  clock_.advance(1s);
  gateway_.end_overdue();
  workers_.run_all();
  EXPECT_TRUE(second->done);
  slow->slow = false;
  std::exchange(slow->resume, nullptr)();  // it holds the call
  workers_.run_all();
  EXPECT_EQ(slow->answer, "one two end");
}

TEST_F(QueueTest, BackgroundMakesWay) {
  std::map<std::string, std::shared_ptr<Client>> clients;
  answer_ = [&](engine::Request& request) {
    if (clients.contains("user")) return Script{.body = "whole"};
    clients["user"] = ask();
    EXPECT_TRUE(request.should_stop());
    return Script{.body = ""};  // as llama.cpp answers what it was told to drop
  };
  clients["copy"] =
      ask_with({.model = "a", .make_hot = models::MakeHot::kNothing, .tier = Tier::kBackground});
  workers_.run_all();
  ASSERT_TRUE(clients["copy"]->error);
  EXPECT_EQ(clients["copy"]->error->code, ErrorCode::kUnavailable);
  EXPECT_EQ(clients["user"]->answer, "whole");
}

}  // namespace
}  // namespace switchyard::gateway
