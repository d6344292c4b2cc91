#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "gateway/gateway.h"
#include "gateway/scripted_engine.h"
#include "models/fake_engine.h"

// A request whose engine breaks, on threads that a test chooses.

namespace switchyard::gateway {
namespace {

using testing::Script;

struct WholeReply final : ReplySink {
  void respond(ReplyHead head, std::string body) override {
    answers.emplace_back(head.status, std::move(body));
  }
  void start(ReplyHead) override {}
  bool write(std::string) override { return true; }
  void when_writable(std::function<void()>) override {}
  [[nodiscard]] Ending ending() const override { return Ending::kUnknown; }
  [[nodiscard]] TokenCounts tokens() const override { return {}; }
  void finish() override {}
  void fail(const Error& error) override { answers.emplace_back(0, error.message); }
  [[nodiscard]] bool client_gone() const override { return false; }
  void on_client_gone(std::function<void()>) override {}

  std::vector<std::pair<int, std::string>> answers;
};

TEST(ReplayTest, AnEngineThatBreaksBeforeItsLeaseWasSeenToComeLosesNoRequest) {
  const models::VersionRef kA{"a", "1"};
  models::testing::ManualExecutor loads;
  InlineExecutor requests;  // an answer runs whole before the call that asked for the lease goes on
  FakeClock clock;
  telemetry::EventBus events;
  models::Manager* manager_seen = nullptr;
  int asked = 0;
  testing::ScriptedLoader loader{[&](engine::Request&) {
    if (++asked > 1) return Script{.body = "whole"};
    EXPECT_TRUE(manager_seen->mark_broken(kA, {ErrorCode::kUnavailable, "its worker died"}));
    return Script{.status = 500, .body = "{}"};
  }};
  models::Limits limits;
  limits.memory_budget = ByteSize::gib(1);
  models::Manager manager{
      {.loader = loader, .executor = loads, .events = events, .clock = clock, .own_timer = false}, limits};
  manager_seen = &manager;
  ASSERT_TRUE(manager.set_catalog({testing::model_called("a")}, models::Manager::Preload::kNone));
  ASSERT_TRUE(manager.load(kA));
  loads.run_all();
  Gateway gateway{{.manager = manager,
                   .executor = requests,
                   .route = [&](const std::string&, const std::string&,
                                std::function<void(Result<models::VersionRef>)> done) { done(kA); },
                   .resolve = [&](const std::string&) -> Result<models::VersionRef> { return kA; },
                   .observer = {},
                   .before_release = {},
                   .clock = clock}};
  const auto sink = std::make_shared<WholeReply>();
  engine::Request request;
  request.method = "POST";
  request.path = "/v1/completions";

  gateway.run({.model = "a"}, std::move(request), sink);
  EXPECT_TRUE(sink->answers.empty());
  EXPECT_EQ(asked, 1);
  loads.run_inline();  // the next engine

  ASSERT_EQ(sink->answers.size(), 1U);
  EXPECT_EQ(sink->answers[0], std::pair(200, std::string("whole")));
  EXPECT_EQ(gateway.in_flight(), 0U);
}

}  // namespace
}  // namespace switchyard::gateway
