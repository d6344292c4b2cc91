#include <thread>

#include "http/app_fixture.h"
#include "http/request_timeout.h"

// What is refused, and how, when there is too much; see gateway/admission.h.

namespace switchyard::http {
namespace {

using gateway::testing::Script;
using testing::AppTest;
using testing::FakeExchangePtr;

class Overload : public AppTest {
 protected:
  void limit(gateway::RequestLimits limits) {
    AppOptions options;
    options.settings.requests = limits;
    restart(std::move(options));
  }
  /// Loads wait for let_load_.
  void hold() {
    loader_.during_load = [this] {
      let_load_.wait();
      return Status();
    };
  }
  /// A reply is with its client before its request has left the queue.
  void wait_until_left() const {
    while (app_->in_flight() > 0) std::this_thread::yield();
  }
  FakeExchangePtr chat(const std::string& model, Headers headers = {}) {
    return begin("POST", "/v1/chat/completions", R"({"model":")" + model + R"("})", std::move(headers));
  }
};

TEST_F(Overload, BeyondTheQueueOfAModelRequestsAreRefusedAtOnceAndTheOthersAnswered) {
  limit({.max_queue_per_model = 2});
  hold();
  const auto first = chat("a"), second = chat("a");
  const auto third = chat("a")->answer();
  EXPECT_EQ(third.status, 429);
  EXPECT_EQ(third.headers.at("Retry-After"), "1");
  EXPECT_EQ(error_type(third), "rate_limit_error");
  EXPECT_EQ(json(third)["error"]["switchyard_code"], "overloaded");
  const auto other = chat("b@1");
  let_load_.count_down();
  for (const auto& held : {first, second, other}) EXPECT_EQ(held->answer().status, 200);
  wait_until_left();
  EXPECT_EQ(chat("a")->answer().status, 200) << "those that are answered leave the queue";
}

TEST_F(Overload, TheQueueOfAllIsBounded) {
  limit({.max_queue = 2});
  hold();
  const auto first = chat("a"), second = chat("b@1");
  EXPECT_EQ(chat("b@2")->answer().status, 429);
  let_load_.count_down();
  EXPECT_EQ(first->answer().status, 200);
  EXPECT_EQ(second->answer().status, 200);
}

TEST_F(Overload, ARequestWhoseClientLeavesMakesRoom) {
  limit({.max_queue_per_model = 1});
  hold();
  const auto first = chat("a");
  first->leave();
  (void)first->answer();
  wait_until_left();
  const auto second = chat("a");
  let_load_.count_down();
  EXPECT_EQ(second->answer().status, 200);
}

TEST_F(Overload, AnthropicsClientsGetTheirOwnErrors) {
  limit({.max_queue_per_model = 1});
  hold();
  const auto held = chat("a");
  const auto refused = ask("POST", "/v1/messages", R"({"model":"a"})");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(json(refused)["type"], "error");
  EXPECT_EQ(error_type(refused), "rate_limit_error");
  EXPECT_EQ(refused.headers.at("request-id"), refused.headers.at("x-request-id"));
  EXPECT_EQ(error_type(ask("POST", "/v1/messages", "{")), "invalid_request_error");
  let_load_.count_down();
  EXPECT_EQ(held->answer().status, 200);
}

TEST_F(Overload, AHeldRequestIsRefusedWhenItsClientStopsWaiting) {
  hold();
  const auto held = chat("a"), leaves = chat("a", {{"X-Request-Timeout", "50ms"}});
  const auto refused = leaves->answer();
  EXPECT_EQ(refused.status, 504);
  EXPECT_EQ(json(refused)["error"]["switchyard_code"], "timeout");
  EXPECT_EQ(refused.headers.at("Retry-After"), "1");
  EXPECT_FALSE(held->over());
  EXPECT_EQ(chat("a", {{"x-stainless-read-timeout", "0.0001"}})->answer().status, 504) << "OpenAI's client";
  EXPECT_EQ(chat("a", {{"x-request-timeout", "soon"}})->answer().status, 400);
  let_load_.count_down();
  EXPECT_EQ(held->answer().status, 200);
}

TEST_F(Overload, AnEngineThatHasNotAnsweredByThenIsStopped) {
  answer_ = [](engine::Request& request) {
    while (!request.should_stop()) std::this_thread::yield();
    return Script{.body = ""};  // as llama.cpp answers what it was told to drop
  };
  EXPECT_EQ(chat("a", {{"x-request-timeout", "20ms"}})->answer().status, 504);
}

TEST_F(Overload, AStreamThatNobodyReadsGivesItsEngineBack) {
  limit({.slow_reader_timeout = std::chrono::milliseconds(1)});
  answer_ = [](engine::Request&) {
    return Script{.content_type = "text/event-stream",
                  .pieces = {"data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n"}};
  };
  load("a");
  auto exchange = std::make_shared<testing::FakeExchange>(
      testing::request_for("POST", "/v1/chat/completions", R"({"model":"a"})"));
  exchange->read_slowly(true);
  app_->handler()(exchange);
  const auto reply = exchange->answer();
  EXPECT_TRUE(exchange->finished()) << "what is read in the end has an end";
  EXPECT_EQ(reply.body.find("[DONE]"), std::string::npos);
  EXPECT_NE(reply.body.find("slow_reader_timeout"), std::string::npos) << reply.body;
}

TEST_F(Overload, AConnectionWithoutRoomHearsWhetherTheServerLives) {
  const auto crowded = [this](const std::string& method, const std::string& path) {
    Request request = testing::request_for(method, path, R"({"model":"a"})");
    request.crowded = true;
    auto exchange = std::make_shared<testing::FakeExchange>(std::move(request));
    app_->handler()(exchange);
    return exchange->answer();
  };
  for (const char* path : {"/health", "/ready", "/metrics"}) EXPECT_EQ(crowded("GET", path).status, 200);
  const auto refused = crowded("POST", "/v1/chat/completions");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.headers.at("Retry-After"), "1");
}

TEST(RequestTimeout, IsReadAsClientsSendIt) {
  using std::chrono::milliseconds;
  const auto read = [](const Headers& headers) { return request_timeout(headers); };
  EXPECT_EQ(**read({{"x-request-timeout", "30"}}), milliseconds(30'000));
  EXPECT_EQ(**read({{"x-request-timeout", "1m30s"}}), milliseconds(90'000));
  EXPECT_EQ(**read({{"x-request-timeout", "0.5"}}), milliseconds(500));
  EXPECT_EQ(**read({{"x-stainless-read-timeout", "600"}}), milliseconds(600'000));
  EXPECT_EQ(**read({{"x-stainless-read-timeout", "600.0"}, {"x-request-timeout", "1"}}), milliseconds(1000));
  EXPECT_EQ(**read({{"x-stainless-timeout", "5"}}), milliseconds(5000));
  EXPECT_FALSE(*read({{"x-stainless-timeout", "NOT_GIVEN"}}));
  EXPECT_FALSE(*read({}));
  for (const char* wrong : {"", "soon", "-1", "0", "0s", "nan", "inf", "1e300"}) {
    const auto result = read({{"x-request-timeout", wrong}});
    ASSERT_FALSE(result) << wrong;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace switchyard::http
