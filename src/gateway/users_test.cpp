#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "gateway/gateway.h"
#include "gateway/scripted_engine.h"

// Who is a user's request, for those who give way to them.

namespace switchyard::gateway {
namespace {

using testing::Script;

struct NoSink final : ReplySink {
  void respond(ReplyHead, std::string) override {}
  void start(ReplyHead) override {}
  bool write(std::string) override { return true; }
  void when_writable(std::function<void()>) override {}
  [[nodiscard]] Ending ending() const override { return Ending::kUnknown; }
  [[nodiscard]] TokenCounts tokens() const override { return {}; }
  void finish() override {}
  void fail(const Error&) override {}
  [[nodiscard]] bool client_gone() const override { return false; }
  void on_client_gone(std::function<void()>) override {}
};

TEST(UsersTest, AreRequestsThatAreNotTheServersOwn) {
  const models::VersionRef kA{"a", "1"};
  InlineExecutor executor;
  FakeClock clock;
  telemetry::EventBus events;
  std::vector<std::size_t> users;  // while an engine answers
  Gateway* gateway_seen = nullptr;
  testing::ScriptedLoader loader{[&](engine::Request&) {
    users.push_back(gateway_seen->users());
    return Script{.body = "{}"};
  }};
  models::Limits limits;
  limits.memory_budget = ByteSize::gib(1);
  models::Manager manager{
      {.loader = loader, .executor = executor, .events = events, .clock = clock, .own_timer = false}, limits};
  ASSERT_TRUE(manager.set_catalog({testing::model_called("a")}, models::Manager::Preload::kNone));
  ASSERT_TRUE(manager.load(kA));
  std::vector<std::function<void()>> held;
  std::vector<Tier> tiers;
  Gateway gateway{{.manager = manager,
                   .executor = executor,
                   .route =
                       [&](const std::string&, const std::string&,
                           const std::function<void(Result<models::VersionRef>)>& done) {
                         held.emplace_back([done, kA] { done(kA); });
                       },
                   .resolve = [&](const std::string&) -> Result<models::VersionRef> { return kA; },
                   .observer = [&](const RequestRecord& record) { tiers.push_back(record.tier); },
                   .before_release = {},
                   .clock = clock}};
  gateway_seen = &gateway;
  const auto ask = [&](CallOptions options) {
    engine::Request request;
    request.method = "POST";
    request.path = "/v1/completions";
    gateway.run(std::move(options), std::move(request), std::make_shared<NoSink>());
  };
  ask({.model = "a", .make_hot = models::MakeHot::kNothing, .tier = Tier::kBackground});
  EXPECT_THAT(users, ::testing::ElementsAre(0));
  ask({.model = "a"});
  EXPECT_EQ(gateway.users(), 1U) << "from its arrival on";
  ask({.model = "a", .make_hot = models::MakeHot::kNothing, .tier = Tier::kBackground});
  EXPECT_THAT(users, ::testing::ElementsAre(0, 1));
  held.front()();
  EXPECT_THAT(users, ::testing::ElementsAre(0, 1, 1));
  held.clear();
  EXPECT_EQ(gateway.users(), 0U);
  gateway.run_process({}, std::make_shared<NoSink>());
  EXPECT_EQ(gateway.users(), 0U);
  EXPECT_THAT(tiers,
              ::testing::ElementsAre(Tier::kBackground, Tier::kBackground, Tier::kDefault, Tier::kDefault));
}

}  // namespace
}  // namespace switchyard::gateway
