#include "shadowing/copies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "gateway/scripted_engine.h"
#include "traffic/switcher.h"

// Copies from the user's reply to the comparison, on one thread and with a clock that a test moves.

namespace switchyard::shadowing {
namespace {

using namespace std::chrono_literals;
using gateway::testing::Script;
using Json = nlohmann::json;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// The user's side.
struct UserSink final : gateway::ReplySink {
  void respond(gateway::ReplyHead, std::string body) override {
    text = std::move(body);
    over = true;
  }
  void start(gateway::ReplyHead) override {}
  bool write(std::string bytes) override {
    text += bytes;
    return true;
  }
  void when_writable(std::function<void()>) override {}
  [[nodiscard]] gateway::Ending ending() const override { return gateway::Ending::kUnknown; }
  [[nodiscard]] gateway::TokenCounts tokens() const override { return {}; }
  void finish() override { over = true; }
  void fail(const Error&) override { over = failed = true; }
  [[nodiscard]] bool client_gone() const override { return false; }
  void on_client_gone(std::function<void()>) override {}

  std::string text;
  bool over = false, failed = false;
};

std::string whole(const std::string& text) {
  return Json{{"choices", {{{"message", {{"content", text}}}}}}, {"usage", {{"completion_tokens", 2}}}}
      .dump();
}
std::vector<std::string> pieces(const std::vector<std::string>& words) {
  std::vector<std::string> frames;
  for (const std::string& word : words)
    frames.push_back("data: " + Json{{"choices", {{{"delta", {{"content", word}}}}}}}.dump() + "\n\n");
  frames.emplace_back("data: [DONE]\n\n");
  return frames;
}

/// chat means a@1, which is hot; b@1 shadows it; e makes embeddings.
class CopiesTest : public ::testing::Test {
 protected:
  CopiesTest() {
    EXPECT_TRUE(
        manager_.set_catalog({gateway::testing::model_called("a"), gateway::testing::model_called("b"),
                              gateway::testing::model_called("e"), gateway::testing::model_called("m")},
                             models::Manager::Preload::kNone));
    EXPECT_TRUE(switcher_.define({{"chat", {"a", "1"}}}));
    EXPECT_TRUE(manager_.load({"a", "1"}));
    shadow({.fraction = 1});
  }
  static models::Limits limits() {
    models::Limits limits;
    limits.memory_budget = ByteSize::gib(1);
    return limits;
  }
  void shadow(const traffic::ShadowPlan& plan, const std::string& to = "b@1") {
    const auto begun = shadows_.set({.alias = "chat", .to = to, .plan = plan});
    ASSERT_TRUE(begun) << begun.error().to_string();
  }
  void set_models_max(std::uint32_t most) {
    models::Limits now = limits();
    now.models_max = most;
    manager_.set_limits(now);
  }

  std::shared_ptr<UserSink> ask(const Json& more = Json::object(),
                                const std::string& path = "/v1/chat/completions",
                                const std::string& conversation = {}) {
    Json body = {{"model", "chat"}, {"messages", {{{"role", "user"}, {"content", "Hello"}}}}};
    body.update(more);
    auto user = std::make_shared<UserSink>();
    gateway::CallOptions options{.model = body["model"], .request_id = "r" + std::to_string(++asked_)};
    options.conversation = conversation;
    engine::Request request;
    request.method = "POST";
    request.path = path;
    request.body = body.dump();
    request.headers["Authorization"] = "Bearer secret";
    std::shared_ptr<gateway::ReplySink> sink = user;
    copies_->watch(options, request, sink);
    gateway_.run(std::move(options), std::move(request), std::move(sink));
    return user;
  }
  /// The quiet passes, and what is due is done.
  void tick(Duration later = 300ms) {
    clock_.advance(later);
    copies_->tick();
  }
  traffic::ShadowFigures figures() { return shadows_.describe("chat")->figures; }
  void remake(Bounds bounds) { copies_.emplace(dependencies(), bounds); }
  Copies::Dependencies dependencies() {
    return {.gateway = gateway_,
            .manager = manager_,
            .shadows = shadows_,
            .executor = executor_,
            .clock = clock_};
  }

  InlineExecutor executor_;
  FakeClock clock_;
  telemetry::EventBus events_;
  store::StateDatabase state_;
  std::vector<Json> bodies_;  ///< what engines were asked
  std::vector<std::map<std::string, std::string>> headers_;
  Script user_reply_{.body = whole("Hello you")};
  Script copy_reply_{.pieces = pieces({"Hello", " you"})};
  Script embeddings_{.body = R"({"data":[{"embedding":[3,4]},{"embedding":[4,3]}]})"};
  gateway::testing::ScriptedLoader loader_{[this](engine::Request& request) {
    bodies_.push_back(Json::parse(request.body));
    headers_.push_back(request.headers);
    if (request.path == "/v1/embeddings") return embeddings_;
    return bodies_.back()["model"] == "b@1" ? copy_reply_ : user_reply_;
  }};
  models::Manager manager_{
      {.loader = loader_, .executor = executor_, .events = events_, .clock = clock_, .own_timer = false},
      limits()};
  traffic::Switcher switcher_{
      {.manager = manager_, .executor = executor_, .events = events_, .state = state_, .clock = clock_}};
  traffic::Shadows shadows_{{.switcher = switcher_, .events = events_, .state = state_}};
  bool hold_names_ = false;
  std::vector<std::function<void()>> held_;
  std::vector<gateway::RequestRecord> records_;
  gateway::Gateway gateway_{{.manager = manager_,
                             .executor = executor_,
                             .route =
                                 [this](const std::string& name, const std::string&,
                                        const std::function<void(Result<models::VersionRef>)>& done) {
                                   const auto go_on = [this, name, done] { done(switcher_.resolve(name)); };
                                   if (hold_names_) return held_.emplace_back(go_on), void();
                                   go_on();
                                 },
                             .resolve = [this](const std::string& name) { return switcher_.resolve(name); },
                             .observer = [this](const auto& record) { records_.push_back(record); },
                             .before_release = {},
                             .clock = clock_}};
  std::optional<Copies> copies_{std::in_place, dependencies(), Bounds{}};
  int asked_ = 0;
};

TEST_F(CopiesTest, AReplyIsComparedOnceItsUserHasIt) {
  const auto user = ask({{"max_tokens", 9}});
  EXPECT_TRUE(user->over);
  EXPECT_EQ(user->text, whole("Hello you"));
  EXPECT_THAT(bodies_, SizeIs(1)) << "the copy is made later";
  EXPECT_EQ(copies_->waiting("chat"), 1U);
  tick();
  ASSERT_THAT(bodies_, SizeIs(2));
  EXPECT_EQ(bodies_[1]["model"], "b@1");
  EXPECT_EQ(bodies_[1]["stream"], true);
  EXPECT_EQ(bodies_[1]["max_tokens"], 9);
  EXPECT_EQ(bodies_[1]["messages"], bodies_[0]["messages"]);
  EXPECT_THAT(headers_[1], IsEmpty()) << "keys do not travel";
  EXPECT_EQ(figures().compared, 1U);
  EXPECT_EQ(figures().exact, 1U) << "streamed or whole";
  EXPECT_EQ(figures().character_ratio.value(), 1.0);
  EXPECT_EQ(copies_->waiting("chat"), 0U);
}

TEST_F(CopiesTest, AStreamIsComparedToo) {
  user_reply_ = {.pieces = pieces({"Hello ", "you"})};
  EXPECT_TRUE(ask()->over);
  copy_reply_ = {.pieces = pieces({"Hello"})};
  tick();
  EXPECT_EQ(figures().compared, 1U);
  EXPECT_EQ(figures().exact, 0U);
  EXPECT_NEAR(*figures().character_ratio.value(), 5.0 / 9, 1e-9);
  EXPECT_EQ(figures().user_first_token_ms.count, 1U);
}

TEST_F(CopiesTest, TheRecordsOfCopiesSayThatTheyAreNobodys) {
  ask();
  tick();
  ASSERT_THAT(records_, SizeIs(2));
  EXPECT_EQ(records_[0].tier, gateway::Tier::kDefault);
  EXPECT_EQ(records_[1].tier, gateway::Tier::kBackground);
  EXPECT_EQ(records_[1].tenant, "");
}

TEST_F(CopiesTest, ACopyWaitsUntilNoUserIsThereAndSomeTimeMore) {
  ask();
  hold_names_ = true;
  const auto other = ask({{"model", "m"}});
  tick();
  EXPECT_THAT(bodies_, SizeIs(1)) << "another user's request is in the gateway";
  held_.front()();
  EXPECT_TRUE(other->over);
  clock_.advance(249ms);
  copies_->tick();
  EXPECT_EQ(figures().compared, 0U) << "too soon";
  clock_.advance(1ms);
  copies_->tick();
  EXPECT_EQ(figures().compared, 1U);
}

/// A user's request comes while the n-th piece of a copy is generated.
TEST_F(CopiesTest, AUserInterruptsACopyWhichIsMadeAgainLater) {
  ask();
  hold_names_ = true;
  std::vector<std::size_t> generated;
  copy_reply_.before_piece = [&](std::size_t n) {
    generated.push_back(n);
    if (n == 0) ask({{"model", "m"}});
  };
  tick();
  EXPECT_THAT(generated, ::testing::ElementsAre(0)) << "it ends with the piece that it is at";
  EXPECT_EQ(figures().compared, 0U);
  EXPECT_EQ(copies_->waiting("chat"), 1U);
  tick();
  EXPECT_THAT(generated, SizeIs(1)) << "the user is still there";
  held_.front()();
  copy_reply_.before_piece = {};
  tick();
  EXPECT_EQ(figures().compared, 0U) << "users come often: twice the quiet is asked for";
  tick();
  EXPECT_EQ(figures().compared, 1U);
  EXPECT_THAT(figures().failed, IsEmpty());
  hold_names_ = false;
  for (int n = 0; n < 10; ++n) {
    ask();
    tick(600ms);
  }
  ask();
  tick();
  EXPECT_EQ(figures().compared, 12U) << "nobody has come for long: it is as it was";
}

TEST_F(CopiesTest, OneThatIsInterruptedAgainAndAgainIsGivenUp) {
  ask();
  hold_names_ = true;
  copy_reply_.before_piece = [&](std::size_t) { ask({{"model", "m"}}); };
  for (int n = 0; n < 8; ++n) {
    tick(20s);
    for (const auto& go_on : std::exchange(held_, {})) go_on();
  }
  EXPECT_EQ(figures().failed.at("interrupted"), 1U);
  EXPECT_EQ(copies_->waiting("chat"), 0U);
}

TEST_F(CopiesTest, BesideUsersNothingIsInterrupted) {
  shadow({.fraction = 1, .beside_users = true});
  ask();
  hold_names_ = true;
  const auto other = ask({{"model", "m"}});
  copies_->tick();
  EXPECT_EQ(figures().compared, 1U);
  EXPECT_FALSE(other->over);
  held_.front()();
}

TEST_F(CopiesTest, ACopyTakesNobodysPlace) {
  set_models_max(1);
  ask();
  tick();
  EXPECT_EQ(figures().failed.at("no_room"), 1U);
  EXPECT_EQ(manager_.standing({"a", "1"})->state, models::State::kHot);
  EXPECT_EQ(manager_.counters().evictions.size(), 0U);
  set_models_max(2);
  ask();
  tick();
  EXPECT_EQ(figures().failed.at("no_room"), 2U) << "room is not looked for with every copy";
  clock_.advance(30s);
  ask();
  tick();
  EXPECT_EQ(figures().compared, 1U) << "there is free room";
}

TEST_F(CopiesTest, ACopyMakesItsVersionNoOneThatWasUsedLately) {
  set_models_max(2);
  ask();
  tick();  // loads b
  ask();
  clock_.advance(10s);
  ask();
  tick();
  clock_.advance(10s);
  tick();
  tick();
  EXPECT_EQ(figures().compared, 3U);
  EXPECT_TRUE(manager_.load({"m", "1"}));
  EXPECT_EQ(manager_.standing({"a", "1"})->state, models::State::kHot) << "the users' one stays";
  EXPECT_NE(manager_.standing({"b", "1"})->state, models::State::kHot);
}

TEST_F(CopiesTest, WhatCannotBeComparedIsNotCopied) {
  ask(Json::object(), "/v1/chat/completions", "conversation");
  ask(Json::object(), "/v1/embeddings");
  ask(Json::object(), "/tokenize");
  ask({{"model", "a@1"}});  // no request of the alias
  user_reply_ = {.status = 400, .body = "{}"};
  ask();
  user_reply_ = {.failure = Error{ErrorCode::kUnavailable, "its worker died"}};
  EXPECT_TRUE(ask()->failed);
  EXPECT_EQ(copies_->waiting("chat"), 0U);
  user_reply_ = {.body = whole("x")};
  shadow({.fraction = 1e-9});
  ask();
  EXPECT_EQ(copies_->waiting("chat"), 0U);
  EXPECT_EQ(figures(), traffic::ShadowFigures{}) << "and nothing is counted";
}

TEST_F(CopiesTest, WhatTheShadowAnsweredItselfIsNotCopied) {
  switcher_.move({.alias = "chat", .to = "b@1"});
  copy_reply_ = {.body = whole("x")};
  ask();
  EXPECT_EQ(switcher_.resolve("chat")->model, "b");
  EXPECT_EQ(copies_->waiting("chat"), 0U);
}

TEST_F(CopiesTest, WhatWaitsIsBounded) {
  remake({.most_waiting = 2, .longest_request = 1000, .longest_reply = 500});
  for (int n = 0; n < 3; ++n) ask();
  EXPECT_EQ(copies_->waiting("chat"), 2U);
  EXPECT_EQ(figures().dropped.at("too_many"), 1U);
  ask({{"user", std::string(2000, 'x')}});
  EXPECT_EQ(figures().dropped.at("request_too_long"), 1U);
  user_reply_ = {.body = whole(std::string(1000, 'x'))};
  EXPECT_EQ(ask()->text, user_reply_.body) << "the user has all of it";
  EXPECT_EQ(figures().dropped.at("reply_too_long"), 1U);
  user_reply_ = {.pieces = pieces({std::string(300, 'x'), std::string(300, 'y')})};
  EXPECT_THAT(ask()->text, ::testing::EndsWith("[DONE]\n\n"));
  EXPECT_EQ(figures().dropped.at("reply_too_long"), 2U);
}

TEST_F(CopiesTest, TheBytesOfAllTogetherAreBoundedAndGivenBack) {
  remake({.most_bytes = 400});
  ask();
  ask();
  ask();
  EXPECT_EQ(copies_->waiting("chat") + traffic::total(figures().dropped), 3U);
  EXPECT_GT(traffic::total(figures().dropped), 0U);
  while (copies_->waiting("chat") > 0) tick();
  ask();
  EXPECT_EQ(copies_->waiting("chat"), 1U) << "there is room again";
}

TEST_F(CopiesTest, OneCopyAtATimeOfEachShadow) {
  ask();
  ask();
  std::size_t most = 0;
  copy_reply_.before_piece = [&](std::size_t) {
    copies_->tick();
    most = std::max<std::size_t>(most, manager_.standing({"b", "1"})->leases);
  };
  tick();
  tick();
  EXPECT_EQ(most, 1U);
  EXPECT_EQ(figures().compared, 2U);
}

TEST_F(CopiesTest, ACopyThatFailsIsCountedWithItsReason) {
  copy_reply_ = {.status = 500, .body = R"({"error":{"message":"no"}})"};
  ask();
  tick();
  EXPECT_EQ(figures().failed.at("status_500"), 1U);
  copy_reply_ = {.pieces = {"data: {\"choices\":[]}\n\n"}};
  ask();
  tick();
  EXPECT_EQ(figures().failed.at("internal"), 1U) << "a stream without its end";
  loader_.before_load = [](const engine::ModelSpec&) -> Status {
    return switchyard::fail(ErrorCode::kCorruptFile, "it is broken");
  };
  shadow({.fraction = 1}, "m@1");
  ask();
  tick();
  EXPECT_EQ(figures().failed.at("corrupt_file"), 1U);
  EXPECT_EQ(figures().compared, 0U);
  EXPECT_EQ(copies_->waiting("chat"), 0U);
}

TEST_F(CopiesTest, SimilarityIsComputedWhileItsModelIsHot) {
  shadow({.fraction = 1, .similarity_model = "e"});
  copy_reply_ = {.pieces = pieces({"Hi"})};
  ask();
  tick();
  EXPECT_EQ(figures().no_similarity.at("not_hot"), 1U);
  EXPECT_EQ(manager_.standing({"e", "1"})->state, models::State::kCold) << "it is not loaded for this";
  ASSERT_TRUE(manager_.load({"e", "1"}));
  ask();
  tick();
  EXPECT_EQ(bodies_.back()["input"], (Json{"Hello you", "Hi"}));
  EXPECT_NEAR(*figures().similarity.value(), 0.96, 1e-6);
  embeddings_ = {.status = 501, .body = "{}"};
  ask();
  tick();
  EXPECT_EQ(figures().no_similarity.at("status_501"), 1U);
  copy_reply_ = {.pieces = pieces({"Hello you"})};
  const std::size_t before = bodies_.size();
  ask();
  tick();
  EXPECT_EQ(bodies_.size(), before + 2) << "equal texts need no embeddings";
  EXPECT_EQ(figures().similarity.count, 2U);
  EXPECT_EQ(figures().compared, 4U);
}

TEST_F(CopiesTest, RepliesAreKeptByItsSettingOnly) {
  ask();
  tick();
  EXPECT_THAT(*shadows_.pairs("chat"), IsEmpty());
  shadow({.fraction = 1, .keep_replies = true});
  ask({{"user", "joe"}});
  tick();
  const auto pairs = shadows_.pairs("chat").value();
  ASSERT_THAT(pairs, SizeIs(1));
  EXPECT_EQ(pairs[0].reply, "Hello you");
  EXPECT_EQ(pairs[0].copy, "Hello you");
  EXPECT_EQ(pairs[0].request_id, "r2");
  EXPECT_EQ(pairs[0].prompt, R"({"messages":[{"content":"Hello","role":"user"}]})");
}

TEST_F(CopiesTest, NothingIsCopiedForAShadowThatHasEnded) {
  ask();
  ASSERT_TRUE(shadows_.stop("chat", "tester"));
  tick();
  EXPECT_THAT(bodies_, SizeIs(1));
  EXPECT_EQ(copies_->waiting("chat"), 0U);
  shadow({.fraction = 1});
  ask();
  copy_reply_.before_piece = [&](std::size_t n) {
    if (n == 0) {
      EXPECT_TRUE(shadows_.stop("chat", "tester"));
    }
  };
  tick();
  EXPECT_EQ(figures().compared, 0U);
  EXPECT_EQ(manager_.standing({"b", "1"})->leases, 0U);
}

TEST_F(CopiesTest, AtTheEndWhatWaitsIsForgottenAndWhatRunsStops) {
  ASSERT_TRUE(manager_.load({"b", "1"}));
  ask();
  ask();
  copy_reply_.before_piece = [&](std::size_t) { copies_->stop(); };
  tick();
  tick();
  EXPECT_EQ(figures().compared, 0U);
  EXPECT_EQ(gateway_.in_flight(), 0U);
  EXPECT_EQ(copies_->waiting("chat"), 0U);
}

}  // namespace
}  // namespace switchyard::shadowing
