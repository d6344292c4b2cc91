#include <gmock/gmock.h>

#include <atomic>

#include "http/app_fixture.h"

// What clients see of an engine that breaks while it works for them, and of those that stand in.

namespace switchyard::http::testing {
namespace {

using gateway::testing::Script;
using ::testing::HasSubstr;

class BrokenEngineTest : public AppTest {
 protected:
  void break_engine(const std::string& model = "a") {
    EXPECT_TRUE(manager_->mark_broken({model, "1"}, {ErrorCode::kUnavailable, "its worker died"}));
  }
  static std::string chat(const std::string& model) {
    return R"({"model":")" + model + R"(","messages":[]})";
  }
  FakeExchangePtr begin_chat(const std::string& model, std::string body = {}) {
    return begin("POST", "/v1/chat/completions", body.empty() ? chat(model) : std::move(body));
  }
  std::atomic<int> asked_ = 0;
};

TEST_F(BrokenEngineTest, AReplyOfWhichNothingWasSentIsMadeAgainByTheNextEngine) {
  answer_ = [this](engine::Request& request) {
    if (asked_++ > 0) return Script{.body = request.body};
    break_engine();
    return Script{.status = 500, .body = R"({"error":{"message":"gone"}})"};
  };
  const Response reply = begin_chat("a")->answer();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, chat("a")) << "the same request";
  EXPECT_EQ(reply.headers.at("x-switchyard-version"), "a@1");
  EXPECT_EQ(asked_, 2);
}

TEST_F(BrokenEngineTest, AnEngineThatThrowsWhenItBreaksIsNoOtherCase) {
  answer_ = [this](engine::Request&) -> Script {
    if (asked_++ > 0) return {.body = "{}"};
    break_engine();
    throw std::runtime_error("the connection to the worker ended");
  };
  EXPECT_EQ(begin_chat("a")->answer().status, 200);
}

TEST_F(BrokenEngineTest, AStreamWithoutAByteIsMadeAgainUnderTheSameHead) {
  answer_ = [this](engine::Request&) {
    Script script{.content_type = "text/event-stream", .pieces = {"data: 1\n\n", "data: [DONE]\n\n"}};
    if (asked_++ == 0) {
      script.stop_early = [this] {
        break_engine();
        return true;
      };
    }
    return script;
  };
  const auto exchange = begin_chat("a");
  EXPECT_EQ(exchange->answer().body, "data: 1\n\ndata: [DONE]\n\n");
  EXPECT_TRUE(exchange->finished());
  EXPECT_EQ(asked_, 2);
}

TEST_F(BrokenEngineTest, AStreamThatHasBegunEndsWithAnErrorFrame) {
  answer_ = [this](engine::Request&) {
    ++asked_;
    return Script{.content_type = "text/event-stream",
                  .pieces = {"data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n"},
                  .before_piece = [this](std::size_t piece) {
                    if (piece == 1) break_engine();
                  }};
  };
  const auto exchange = begin_chat("a");
  const std::string body = exchange->answer().body;
  EXPECT_TRUE(body.starts_with("data: 1\n\n")) << body;
  EXPECT_THAT(body, HasSubstr("broke while it answered; ask again"));
  EXPECT_THAT(body, HasSubstr(R"("switchyard_code":"unavailable")"));
  EXPECT_TRUE(exchange->finished());
  EXPECT_EQ(asked_, 1);
}

TEST_F(BrokenEngineTest, OnceOnly) {
  answer_ = [this](engine::Request&) {
    ++asked_;
    break_engine();
    return Script{.status = 500, .body = "{}"};
  };
  const Response reply = begin_chat("a")->answer();
  EXPECT_EQ(reply.status, 503);
  EXPECT_THAT(reply.body, HasSubstr("broke while it answered"));
  EXPECT_EQ(asked_, 2);
}

TEST_F(BrokenEngineTest, ALargeRequestIsNotKeptForASecondEngine) {
  answer_ = [this](engine::Request&) {
    ++asked_;
    break_engine();
    return Script{.status = 500, .body = "{}"};
  };
  const std::string body = R"({"model":"a","prompt":")" + std::string(2U << 20, 'x') + R"("})";
  EXPECT_EQ(begin_chat("a", body)->answer().status, 503);
  EXPECT_EQ(asked_, 1);
}

TEST_F(BrokenEngineTest, AnErrorOfASoundEngineIsItsAnswer) {
  answer_ = [this](engine::Request&) {
    ++asked_;
    return Script{.status = 500, .body = R"({"error":{"message":"no"}})"};
  };
  EXPECT_EQ(begin_chat("a")->answer().status, 500);
  EXPECT_EQ(asked_, 1);
}

class FallbackTest : public BrokenEngineTest {
 protected:
  void make_alias() {
    const Response made = ask("PUT", "/admin/v1/aliases/front", R"({"to":"a","fallbacks":["b@2","b@1"]})");
    ASSERT_EQ(made.status, 201) << made.body;
  }
  static std::string header(const Response& reply, const char* name) {
    const auto found = reply.headers.find(name);
    return found == reply.headers.end() ? "" : found->second;
  }
  void fail_loads_of(const std::string& model) {
    loader_.before_load = [model](const engine::ModelSpec& spec) {
      return spec.model == model ? Status(fail(ErrorCode::kInternal, "broken")) : Status();
    };
  }
};

TEST_F(FallbackTest, AnswersWhileTheAliassVersionIsQuarantinedAndSaysSo) {
  make_alias();
  Response reply = begin_chat("front")->answer();
  EXPECT_EQ(header(reply, "x-switchyard-version"), "a@1");
  EXPECT_EQ(header(reply, "x-switchyard-fallback"), "");
  ASSERT_TRUE(manager_->unload({"a", "1"}));
  while (manager_->standing({"a", "1"})->state != models::State::kCold) std::this_thread::yield();
  ASSERT_TRUE(manager_->quarantine({"a", "1"}, "it fails"));
  reply = begin_chat("front")->answer();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(header(reply, "x-switchyard-version"), "b@2");
  EXPECT_EQ(header(reply, "x-switchyard-fallback"), "for a@1");
  EXPECT_EQ(begin_chat("a")->answer().status, 503) << "only the alias has fallbacks";
  EXPECT_EQ(ask("POST", "/admin/v1/models/a/release").status, 200);
  EXPECT_EQ(header(begin_chat("front")->answer(), "x-switchyard-version"), "a@1");
}

TEST_F(FallbackTest, StandsInForALoadThatFailsInTurn) {
  make_alias();
  ASSERT_TRUE(manager_->unload({"a", "1"}));
  while (manager_->standing({"a", "1"})->state != models::State::kCold) std::this_thread::yield();
  fail_loads_of("a");
  const Response reply = begin_chat("front")->answer();
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(header(reply, "x-switchyard-version"), "b@2");
}

TEST_F(FallbackTest, IsShownAndCheckedAndKept) {
  make_alias();
  EXPECT_EQ(json(ask("GET", "/admin/v1/aliases/front"))["fallbacks"], (Json{"b@2", "b@1"}));
  const Response wrong = ask("PUT", "/admin/v1/aliases/front", R"({"to":"a","fallbacks":["c"]})");
  EXPECT_EQ(wrong.status, 404) << wrong.body;
  EXPECT_THAT(wrong.body, HasSubstr("has the fallback 'c'"));
  EXPECT_EQ(ask("PUT", "/admin/v1/aliases/front", R"({"to":"a","fallbacks":"b"})").status, 400);
  ASSERT_EQ(ask("POST", "/admin/v1/aliases/front/switch", R"({"to":"b@1"})").status, 200);
  EXPECT_EQ(json(ask("GET", "/admin/v1/aliases/front"))["fallbacks"], (Json{"b@2", "b@1"}));
}

}  // namespace
}  // namespace switchyard::http::testing
