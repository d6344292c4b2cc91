#include "http/request_line.h"

#include <gtest/gtest.h>

#include <string>

#include "http/app_fixture.h"
#include "http/token_counter.h"

namespace switchyard::http {
namespace {

using gateway::testing::Script;

const char* const kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const char* const kParent = "00f067aa0ba902b7";

std::string traceparent(const std::string& version = "00", const std::string& more = {}) {
  return version + "-" + kTrace + "-" + kParent + "-01" + more;
}

TEST(TraceContext, ASoundHeaderIsContinued) {
  const auto context = begin_span(traceparent());
  EXPECT_EQ(context.trace_id, kTrace);
  EXPECT_EQ(context.parent_id, kParent);
  EXPECT_EQ(context.flags, "01");
  EXPECT_EQ(context.span_id.size(), 16U);
  EXPECT_NE(context.span_id, kParent);
  EXPECT_EQ(context.traceparent(), std::string("00-") + kTrace + "-" + context.span_id + "-01");
  EXPECT_TRUE(parse_traceparent(traceparent("01", "-future")));
}

TEST(TraceContext, AnyOtherIsIgnored) {
  const std::string zeros(32, '0');
  for (const std::string& wrong :
       {std::string(), std::string("x"), traceparent("ff"), traceparent("00", "-more"),
        traceparent("01", "x"), "00-" + zeros + "-" + kParent + "-01",
        std::string("00-") + kTrace + "-0000000000000000-01",
        std::string("00-4BF92F3577B34DA6A3CE929D0E0E4736-") + kParent + "-01", traceparent().substr(1)}) {
    EXPECT_FALSE(parse_traceparent(wrong)) << wrong;
    const auto context = begin_span(wrong);
    EXPECT_TRUE(parse_traceparent(context.traceparent())) << wrong;
    EXPECT_EQ(context.parent_id, "");
    EXPECT_NE(context.trace_id, begin_span(wrong).trace_id);
  }
}

TEST(RequestId, AClientsOwnIsKeptWhereItIsAPlainWord) {
  EXPECT_EQ(request_id("abc-1.2:3_4"), "abc-1.2:3_4");
  for (const std::string& wrong :
       {std::string(), std::string("a b"), std::string("a\nb"), std::string(129, 'a')}) {
    EXPECT_TRUE(request_id(wrong).starts_with("req_")) << wrong;
    EXPECT_NE(request_id(wrong), request_id(wrong));
  }
}

TEST(TokenCounter, ReadsEveryDialect) {
  struct Case {
    std::vector<std::string> pieces;
    std::optional<std::uint64_t> prompt, generated;
  };
  const Case table[] = {
      {{R"(data: {"choices":[{"delta":{"content":"hi"}}]})",
        R"(data: {"choices":[],"timings":{"cache_n":3,"prompt_n":4,"predicted_n":5,"predicted_ms":1.5}})"},
       7,
       5},
      {{R"({"usage":{"completion_tokens":8,"prompt_tokens":30,"total_tokens":38}})"}, 30, 8},
      {{R"({"usage":{"prompt_tokens":6,"total_tokens":6},"data":[]})"}, 6, std::nullopt},
      {{R"(data: {"message":{"usage":{"cache_read_input_tokens":2,"input_tokens":9,"output_tokens":0}}})",
        R"(data: {"type":"message_delta","usage":{"output_tokens":12}})"},
       11,
       12},
      {{R"({"response":{"usage":{"input_tokens":9,"output_tokens":3,"total_tokens":12}}})"}, 9, 3},
      {{R"({"content":"say \"usage\":{\"prompt_tokens\":99} please"})"}, std::nullopt, std::nullopt},
      {{R"({"usage":{"prompt_tokens":"many"}})"}, std::nullopt, std::nullopt},
  };
  for (const auto& [pieces, prompt, generated] : table) {
    TokenCounter counter;
    for (const auto& piece : pieces) counter.see(piece);
    EXPECT_EQ(counter.counts(0).prompt, prompt) << pieces.front();
    EXPECT_EQ(counter.counts(0).generated, generated) << pieces.front();
  }
}

/// llama.cpp's own counts are those of one of them.
TEST(TokenCounter, CountsEachOfSeveralReplies) {
  TokenCounter whole;
  whole.know({.replies = 3, .prompt = 7, .generated = 15});
  whole.see(R"({"usage":{"completion_tokens":5,"prompt_tokens":7}})");
  EXPECT_EQ(whole.counts(0).prompt, 7);
  EXPECT_EQ(whole.counts(0).generated, 15);

  TokenCounter stream;
  stream.know({.replies = 2, .prompt = 7});
  stream.see(R"(data: {"choices":[{"finish_reason":null,"index":0}],"timings":{"predicted_n":1}})");
  EXPECT_EQ(stream.counts(9).generated, 9) << "as many pieces as have come, of one that was cut";
  stream.see(R"(data: {"choices":[{"finish_reason":"length","index":1}],"timings":{"predicted_n":4}})");
  stream.see(R"(data: {"choices":[{"finish_reason":"stop","index":0}],"timings":{"predicted_n":6}})");
  EXPECT_EQ(stream.counts(12).prompt, 7);
  EXPECT_EQ(stream.counts(12).generated, 10);
}

TEST(TokenCounter, WhatTheReplyDoesNotSayIsTheEngines) {
  TokenCounter left;
  left.know({.replies = 1, .prompt = 1200});
  EXPECT_EQ(left.counts(0).prompt, 1200);
  EXPECT_FALSE(left.counts(0).generated);
  EXPECT_EQ(left.counts(3).generated, 3);
  left.know({.replies = 1, .prompt = 1200, .generated = 8});
  EXPECT_EQ(left.counts(3).generated, 8);
}

TEST(TokenTally, IsWhatItWas) {
  for (const engine::TokenTally& tally :
       {engine::TokenTally{.replies = 1, .prompt = 0}, {.replies = 4, .prompt = 12, .generated = 200}})
    EXPECT_EQ(engine::token_tally_from(engine::to_text(tally)), tally);
  for (const char* wrong : {"", "x", "1", "1 x", "-1 2"})
    EXPECT_FALSE(engine::token_tally_from(wrong)) << wrong;
}

class RequestLineTest : public testing::AppTest {
 protected:
  /// Whoever loads a model for a request may let go of the request last, on a thread that nobody waits for.
  void SetUp() override {
    AppTest::SetUp();
    load("a");
  }
  /// What is logged about one request.
  std::string log_of(const std::string& method, const std::string& target, const std::string& body,
                     Headers headers = {}) {
    ::testing::internal::CaptureStderr();
    {
      (void)ask(method, target, body, std::move(headers));
    }
    app_.reset();  // its workers have let go of the request
    std::string log = ::testing::internal::GetCapturedStderr();
    restart(options_);
    return log;
  }
  AppOptions options_;
};

TEST_F(RequestLineTest, SaysWhatBecameOfARequest) {
  answer_ = [](engine::Request&) {
    return Script{.body = R"({"usage":{"completion_tokens":8,"prompt_tokens":30}})"};
  };
  const std::string log = log_of(
      "POST", "/v1/chat/completions?x=query-secret", R"({"model":"a","x":"the prompt"})",
      {{"x-request-id", "mine"}, {"Authorization", "Bearer secret-key"}, {"traceparent", traceparent()}});
  for (const char* part : {"request_id=mine", "method=POST", "path=/v1/chat/completions", "status=200",
                           "outcome=answered", "model=a@1", "prompt_tokens=30", "generated_tokens=8",
                           "queued_ms=", "first_byte_ms=", "total_ms=", "bytes=52", kTrace, kParent}) {
    EXPECT_NE(log.find(part), std::string::npos) << part << " in " << log;
  }
  for (const char* secret : {"secret-key", "the prompt", "query-secret"})
    EXPECT_EQ(log.find(secret), std::string::npos) << log;
  EXPECT_EQ(std::ranges::count(log, '\n'), 1) << log;
}

TEST_F(RequestLineTest, FailuresAreLoggedAndLooksAreNot) {
  options_.settings.api_keys = {"k"};
  restart(options_);
  EXPECT_NE(log_of("POST", "/v1/chat/completions", "{}").find("status=401 outcome=failed"),
            std::string::npos);
  EXPECT_NE(log_of("POST", "/v1/chat/completions", R"({"model":"none"})", {{"X-Api-Key", "k"}})
                .find("status=404 outcome=failed"),
            std::string::npos);
  EXPECT_EQ(log_of("GET", "/health", ""), "");
  EXPECT_EQ(log_of("GET", "/metrics", "", {{"X-Api-Key", "k"}}), "");
}

TEST_F(RequestLineTest, PromptsAreLoggedWhereTheyAreAskedFor) {
  options_.settings.log.prompts = true;
  restart(options_);
  EXPECT_NE(log_of("POST", "/v1/completions", R"({"model":"a","prompt":"the words"})").find("the words"),
            std::string::npos);
  options_.settings.log.requests = false;
  restart(options_);
  EXPECT_EQ(log_of("POST", "/v1/completions", R"({"model":"a"})"), "");
}

TEST_F(RequestLineTest, RepliesCarryTheIds) {
  const auto reply = ask("GET", "/health", "", {{"traceparent", traceparent()}});
  EXPECT_TRUE(reply.headers.at("x-request-id").starts_with("req_"));
  EXPECT_EQ(reply.headers.at("traceparent").substr(3, 32), kTrace);
  EXPECT_FALSE(reply.headers.contains("request-id"));
}

}  // namespace
}  // namespace switchyard::http
