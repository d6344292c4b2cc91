#include <atomic>
#include <latch>

#include "http/app_fixture.h"
#include "http/body_routing.h"

namespace switchyard::http {
namespace {

using gateway::testing::Script;
using testing::AppTest;

class OpenAi : public AppTest {};

const char* const kSse = "text/event-stream";

TEST(BodyRouting, FindsModelAndStreamOfTheOutermostObject) {
  const auto routing =
      route_body(R"({"messages":[{"model":"no","stream":true}],"model":"a\u0062","stream":true})");
  ASSERT_TRUE(routing);
  EXPECT_EQ(routing->model, "ab");
  EXPECT_TRUE(routing->stream);
}

TEST(BodyRouting, SaysHowMuchIsAskedAndForHowMuch) {
  const auto of = [](const char* body) { return *route_body(body); };
  EXPECT_EQ(of(R"({"model":"a","prompt":"hello"})").max_tokens, std::nullopt);
  EXPECT_EQ(of(R"({"model":"a","prompt":"hello","n_predict":-1})").max_tokens, std::nullopt);
  EXPECT_EQ(of(R"({"max_tokens":5,"metadata":{"max_tokens":9}})").max_tokens, 5U);
  EXPECT_EQ(of(R"({"max_tokens":5,"max_completion_tokens":7})").max_tokens, 7U)
      << "whichever the engine reads";
  EXPECT_EQ(of(R"({"max_output_tokens":8,"n":3})").replies, 3U);
  EXPECT_EQ(of(R"({"n_predict":8})").replies, 1U);
  EXPECT_EQ(of(R"({"n_cmpl":4,"n":2})").replies, 4U);
  for (const char* none : {"-1", "4000.0", "\"9\""})
    EXPECT_EQ(of((std::string(R"({"n_predict":)") + none + R"(,"max_tokens":1})").c_str()).max_tokens,
              std::nullopt);
  EXPECT_EQ(of(R"({"prompt":"a"})").prompts, 1U);
  EXPECT_EQ(of(R"({"prompt":["a","b",[1,2]],"n":2})").prompts, 3U);
  EXPECT_EQ(of(R"({"prompt":[5,6,7]})").prompts, 1U);
  EXPECT_EQ(of(R"({"prompt":[5,6,7],"seed":3})").token_ids, 3U);
  EXPECT_EQ(of(R"({"input":[[5,6],[7]]})").token_ids, 3U);
  EXPECT_EQ(of(R"({"messages":[{"role":"user","content":"hello"}]})").text_bytes, 9U);
  EXPECT_EQ(
      of(R"({"content":[{"text":"hello"},{"image_url":{"url":"data:image/png;base64,AAAA"}}]})").text_bytes,
      5U);
}

TEST(BodyRouting, AnArrayIsTakenWhereItMayCome) {
  EXPECT_FALSE(route_body(R"([{"id":0,"model":"no"}])"));
  const auto lora = route_body(R"([{"id":0,"model":"no"}])", Outermost::kObjectOrArray);
  ASSERT_TRUE(lora);
  EXPECT_EQ(lora->model, "");
  EXPECT_FALSE(route_body("5", Outermost::kObjectOrArray));
}

TEST(BodyRouting, TheLastOfDoubledKeysCounts) {
  EXPECT_EQ(route_body(R"({"model":"a","model":"b"})")->model, "b");
  EXPECT_EQ(route_body(R"({"model":{"model":"c"},"model":"a"})")->model, "a");
  EXPECT_EQ(route_body(R"({"model":"a","model":null})")->model, "");
}

TEST(BodyRouting, AModelIsAString) {
  for (const char* value : {"3", "1.5", "true", "[\"a\"]", "{\"model\":\"a\"}"}) {
    const auto routing = route_body(std::string(R"({"model":"a","model":)") + value + "}");
    ASSERT_FALSE(routing) << value;
    EXPECT_EQ(routing.error().message, "'model' must be a string");
  }
}

TEST(BodyRouting, WaitIsAFlagOfControlBodies) {
  EXPECT_TRUE(route_control_body(R"({"wait":true})")->wait);
  EXPECT_TRUE(route_control_body(R"({"x":{"wait":1},"wait":"no","wait":true})")->wait);
  for (const char* value : {"1", "0.5", "null", "\"true\"", "[]", "{\"wait\":true}"}) {
    const std::string body = std::string(R"({"wait":)") + value + "}";
    const auto routing = route_control_body(body);
    ASSERT_FALSE(routing) << value;
    EXPECT_EQ(routing.error().message, "'wait' must be true or false");
    EXPECT_TRUE(route_body(body)) << "engines have no such key";
  }
}

std::string repeat(std::string_view text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

TEST(BodyRouting, NestingIsBounded) {
  const auto nested = [](std::size_t levels) {  // the outermost object is the first level
    return route_body(R"({"a":)" + repeat(R"({"b":)", levels - 1) + "1" + repeat("}", levels));
  };
  EXPECT_TRUE(nested(kDeepestJson));
  for (const std::size_t levels : {kDeepestJson + 1, std::size_t{100'000}}) {
    ASSERT_FALSE(nested(levels));
    EXPECT_EQ(nested(levels).error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(nested(levels).error().message.find("256 levels"), std::string::npos);
  }
  EXPECT_FALSE(route_body(R"({"a":)" + repeat("[", 100'000)));
  EXPECT_TRUE(route_body(R"({"a":[)" + repeat("[],", 1000) + "[]]}"));
}

TEST(BodyRouting, NestingOfTextsThatAreParsedAgainIsBounded) {
  for (const char* key : {"grammar", "pattern", "arguments", "value"}) {
    const auto text = [&](std::string_view open, std::size_t levels) {
      return route_body(R"({"a":[{")" + std::string(key) + R"(":")" + repeat(open, levels) + R"("}]})");
    };
    EXPECT_TRUE(text("(", kDeepestText)) << key;
    EXPECT_TRUE(text("()", 10 * kDeepestText)) << key;
    for (const char* open : {"(", "[", "{", "\\u0028"}) {
      ASSERT_FALSE(text(open, kDeepestText + 1)) << key << open;
      EXPECT_NE(text(open, kDeepestText + 1).error().message.find("1000 levels"), std::string::npos);
    }
  }
  EXPECT_TRUE(route_body(R"({"content":")" + repeat("(", 100'000) + R"("})"));
}

TEST(BodyRouting, RefusesWhatIsNoObject) {
  for (const char* text : {"", "[]", "7", "\"a\"", "{", "{}x", "{\"model\":}", "{\"a\":1e999}", "\xff"}) {
    const auto routing = route_body(text);
    ASSERT_FALSE(routing) << text;
    EXPECT_EQ(routing.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST_F(OpenAi, TheBodyGoesOnByteForByte) {
  const std::string body = " {\"model\" : \"a\",\n\t\"x\":1.50, \"x\":\"\\u00e9\" }\n";
  std::string seen;
  answer_ = [&](engine::Request& request) {
    seen = request.body;
    return Script{.body = "{}"};
  };
  const auto reply = ask("POST", "/v1/chat/completions", body);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(seen, body);
  EXPECT_EQ(reply.headers.at("x-switchyard-version"), "a@1");
}

TEST_F(OpenAi, LargeBodiesAreReadAwayFromTheLoopThread) {
  const std::string body = R"({"model":"a","x":")" + std::string(1 << 20, 'y') + R"("})";
  std::string seen;
  answer_ = [&](engine::Request& request) {
    seen = request.body;
    return Script{.body = "{}"};
  };
  EXPECT_EQ(ask("POST", "/v1/completions", body).status, 200);
  EXPECT_EQ(seen, body);
}

TEST_F(OpenAi, EveryVersionIsReachedByName) {
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"b"})").headers.at("x-switchyard-version"), "b@2");
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"b@1"})").headers.at("x-switchyard-version"), "b@1");
  EXPECT_EQ(ask("GET", "/slots?model=b").headers.at("x-switchyard-version"), "b@2");
  EXPECT_EQ(ask("POST", "/tokenize?model=a", "{}").headers.at("x-switchyard-version"), "a@1");
}

TEST_F(OpenAi, WrongRequestsGetLlamaServersErrors) {
  EXPECT_EQ(ask("POST", "/v1/chat/completions", "{nope").status, 400);
  EXPECT_EQ(ask("POST", "/v1/chat/completions", "[]").status, 400);
  EXPECT_EQ(json(ask("POST", "/v1/chat/completions", R"({"model":3})"))["error"]["message"],
            "'model' must be a string");
  const auto missing = ask("POST", "/v1/chat/completions", "{}");
  EXPECT_EQ(missing.status, 400);
  EXPECT_EQ(json(missing)["error"]["message"], "model name is missing from the request");
  EXPECT_EQ(error_type(missing), "invalid_request_error");
  const auto unknown = ask("POST", "/v1/chat/completions", R"({"model":"bb"})");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(error_type(unknown), "not_found_error");
}

TEST_F(OpenAi, WithoutAutoloadAParkedModelAnswersAndAColdOneDoesNot) {
  const char* const path = "/v1/chat/completions?autoload=false";
  const auto cold = ask("POST", path, R"({"model":"a"})");
  EXPECT_EQ(cold.status, 400);
  EXPECT_EQ(json(cold)["error"]["message"], "model is not loaded");
  load("a");
  EXPECT_EQ(ask("POST", "/admin/v1/models/a/park").status, 200);
  EXPECT_EQ(ask("POST", path, R"({"model":"a"})").status, 200);
}

TEST_F(OpenAi, TheDefaultModelAnswersRequestsWithoutOne) {
  restart({.settings = {.default_model = "b@1"}});
  EXPECT_EQ(ask("POST", "/tokenize", "{}").headers.at("x-switchyard-version"), "b@1");
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"gpt"})").status, 404);
  restart({.settings = {.default_model = "b@1"}, .single_model = true});
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"gpt"})").headers.at("x-switchyard-version"), "b@1");
  EXPECT_EQ(json(ask("GET", "/props"))["path"], "/props");
}

TEST_F(OpenAi, MultipartBecomesJsonAndFiles) {
  engine::Request seen;
  answer_ = [&](engine::Request& request) {
    seen = std::move(request);
    return Script{.body = "{}"};
  };
  const std::string body =
      "--XX\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\na\r\n"
      "--XX\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n1\r\n"
      "--XX\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n2\r\n"
      "--XX\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a;b.wav\"\r\nContent-Type: "
      "audio/wav\r\n\r\n"
      "R\r\nI\r\n--XX--\r\n";
  const auto reply =
      ask("POST", "/v1/audio/transcriptions", body, {{"Content-Type", "multipart/form-data; boundary=XX"}});
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(Json::parse(seen.body), (Json{{"model", "a"}, {"t", {"1", "2"}}}));
  ASSERT_EQ(seen.files.count("file"), 1U);
  EXPECT_EQ(seen.files["file"].filename, "a;b.wav");
  EXPECT_EQ(seen.files["file"].content_type, "audio/wav");
  EXPECT_EQ(std::string(seen.files["file"].data.begin(), seen.files["file"].data.end()), "R\r\nI");
  for (const char* bad : {"", "--XX", "--XX\r\n", "--XX\r\nno head", "--XX\r\n\r\n\r\nx\r\n--XX--"}) {
    EXPECT_EQ(ask("POST", "/infill", bad, {{"Content-Type", "multipart/form-data; boundary=XX"}}).status,
              400);
  }
}

TEST_F(OpenAi, AStreamIsHandedOnPieceByPieceAndEndsWhole) {
  answer_ = [](engine::Request&) {
    return Script{.content_type = kSse, .pieces = {"data: {\"a\":1}\n\n", "data: [DONE]\n\n"}};
  };
  const auto exchange = begin("POST", "/v1/chat/completions", R"({"model":"a","stream":true})");
  const auto reply = exchange->answer();
  EXPECT_EQ(reply.body, "data: {\"a\":1}\n\ndata: [DONE]\n\n");
  EXPECT_EQ(reply.headers.at("X-Accel-Buffering"), "no");
  EXPECT_TRUE(exchange->finished());
}

TEST_F(OpenAi, AStreamThatTheEngineEndsEarlyEndsWithAnErrorFrame) {
  answer_ = [](engine::Request&) { return Script{.content_type = kSse, .pieces = {"data: {\"a\":1}\n\n"}}; };
  const auto reply = ask("POST", "/v1/chat/completions", R"({"model":"a","stream":true})");
  EXPECT_NE(reply.body.find("data: {\"error\":{"), std::string::npos);
}

TEST_F(OpenAi, ASlowReaderGivesItsThreadBack) {
  restart({.max_calls = 1});
  answer_ = [](engine::Request& request) {
    if (request.path == "/tokenize") return Script{.body = "{}"};
    return Script{.content_type = kSse, .pieces = {"data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n"}};
  };
  load("a");
  auto slow = std::make_shared<testing::FakeExchange>(
      testing::request_for("POST", "/v1/completions", R"({"model":"a","stream":true})"));
  slow->read_slowly(true);
  app_->handler()(slow);
  slow->wait_until_paused();
  // The only worker thread is free for others.
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"a"})").status, 200);
  EXPECT_FALSE(slow->over());
  slow->read_slowly(false);
  EXPECT_EQ(slow->answer().body, "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n");
}

TEST_F(OpenAi, ARevokedStreamEndsWithAnErrorFrameInItsOwnForm) {
  struct Form {
    const char *path, *frame, *type;
  };
  for (const auto& [path, frame, type] :
       {Form{"/v1/chat/completions", "\n\ndata: {\"error\":{", "unavailable_error"},
        Form{"/v1/messages", "\n\nevent: error\ndata: {\"error\":{", "overloaded_error"}}) {
    auto definition = gateway::testing::model_called("a");
    definition.settings.drain_timeout = std::chrono::milliseconds(1);
    ASSERT_TRUE(manager_->set_catalog({definition}, models::Manager::Preload::kNone));
    answer_ = [](engine::Request& request) {
      return Script{.content_type = kSse,
                    .pieces = {"data: {}\n\n", "data: {}\n\n"},
                    .before_piece =
                        [stop = request.should_stop](std::size_t at) {
                          while (at == 1 && !stop()) std::this_thread::yield();
                        },
                    .stop_early = request.should_stop};
    };
    const auto exchange = begin("POST", path, R"({"model":"a","stream":true})");
    exchange->wait_for("data: {}");
    EXPECT_EQ(ask("POST", "/models/unload", R"({"model":"a","wait":true})").status, 200);
    const auto reply = exchange->answer();
    EXPECT_TRUE(exchange->finished());
    EXPECT_NE(reply.body.find(frame), std::string::npos) << reply.body;
    EXPECT_NE(reply.body.find(type), std::string::npos);
  }
}

TEST_F(OpenAi, ARevokedReplyThatIsNoStreamIs503) {
  auto definition = gateway::testing::model_called("a");
  definition.settings.drain_timeout = std::chrono::milliseconds(1);
  ASSERT_TRUE(manager_->set_catalog({definition}, models::Manager::Preload::kNone));
  std::latch running(1);
  answer_ = [&](engine::Request& request) {
    running.count_down();
    while (!request.should_stop()) std::this_thread::yield();
    return Script{.body = ""};
  };
  const auto exchange = begin("POST", "/v1/chat/completions", R"({"model":"a"})");
  running.wait();
  EXPECT_EQ(ask("POST", "/models/unload", R"({"model":"a","wait":true})").status, 200);
  EXPECT_EQ(exchange->answer().status, 503);
}

/// Whether its kind of stream has an end mark or not.
TEST_F(OpenAi, AStreamWhoseEngineDiesEndsWithTheReasonAsItsErrorFrame) {
  answer_ = [](engine::Request&) {
    return Script{.content_type = kSse,
                  .pieces = {"data: {}\n\n", "data: {}\n\n"},
                  .stop_early = [n = 0]() mutable { return n++ > 0; },
                  .failure = Error{ErrorCode::kUnavailable, "its process was killed"}};
  };
  for (const char* path : {"/v1/chat/completions", "/completion"}) {
    const auto reply = ask("POST", path, R"({"model":"a","stream":true})");
    EXPECT_EQ(reply.status, 200);
    EXPECT_NE(reply.body.find("data: {}\n\ndata: {\"error\":{"), std::string::npos) << reply.body;
    EXPECT_NE(reply.body.find("its process was killed"), std::string::npos) << reply.body;
  }
}

TEST_F(OpenAi, AnEngineThatIsDeadBeforeItsReplyBeginsIs503) {
  answer_ = [](engine::Request&) {
    return Script{.failure = Error{ErrorCode::kUnavailable, "its process was killed"}};
  };
  const auto reply = ask("POST", "/v1/chat/completions", R"({"model":"a"})");
  EXPECT_EQ(reply.status, 503);
  EXPECT_NE(reply.body.find("its process was killed"), std::string::npos);
}

TEST_F(OpenAi, TheReplyIsGoneBeforeItsLease) {
  std::atomic<bool> alive = true;
  std::atomic<std::uint32_t> leases_at_end = 0;
  answer_ = [&](engine::Request&) {
    return Script{.body = "{}", .on_destroyed = [&] {
                    leases_at_end = manager_->describe("a")->versions[0].leases;
                    alive = false;
                  }};
  };
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"a"})").status, 200);
  EXPECT_FALSE(alive);
  EXPECT_EQ(leases_at_end, 1U);
}

TEST_F(OpenAi, AClientThatLeavesWhileHeldIsForgottenAndTheLoadGoesOn) {
  hold_loads();
  std::atomic<int> calls = 0;
  answer_ = [&](engine::Request&) {
    ++calls;
    return Script{.body = "{}"};
  };
  const auto leaver = begin("POST", "/tokenize", R"({"model":"a"})");
  load_began_.wait();
  leaver->leave();
  leaver->answer();
  const auto stayer = begin("POST", "/tokenize", R"({"model":"a"})");
  let_load_.count_down();
  EXPECT_EQ(stayer->answer().status, 200);
  EXPECT_EQ(calls, 1);
}

TEST_F(OpenAi, ASessionsRequestOutlivesItsClientWhileItIsHeld) {
  std::latch answered(1);
  hold_loads();
  answer_ = [&](engine::Request& request) {
    EXPECT_FALSE(request.should_stop());
    answered.count_down();
    return Script{.body = "{}"};
  };
  const auto exchange = begin("POST", "/v1/completions", R"({"model":"a"})", {{"X-Conversation-Id", "c"}});
  load_began_.wait();
  exchange->leave();
  let_load_.count_down();
  answered.wait();
  exchange->answer();
}

/// llama.cpp's map of streams: tells what it was asked for and finds two streams of each id.
class FakeStreams final : public engine::ProcessRoutes {
 public:
  explicit FakeStreams(std::vector<engine::Request>& seen) : seen_(seen) {}
  [[nodiscard]] std::unique_ptr<engine::Reply> handle(engine::Request request) override {
    Json found = Json::array();
    if (request.path == "/v1/streams/lookup") {
      const Json body = Json::parse(request.body);
      for (const Json& id : body["conversation_ids"]) {
        found.push_back({{"conversation_id", id}});
        found.push_back({{"conversation_id", id.get<std::string>() + "::old"}});
      }
    }
    seen_.push_back(std::move(request));
    return std::make_unique<gateway::testing::ScriptedReply>(Script{.body = found.dump()});
  }

 private:
  std::vector<engine::Request>& seen_;
};

TEST_F(OpenAi, ModelsThatAreAskedInOneConversationHaveAStreamEach) {
  std::vector<engine::Request> streams;
  process_routes_ = std::make_unique<FakeStreams>(streams);
  restart({});
  std::vector<std::string> sessions;
  answer_ = [&](engine::Request& request) {
    sessions.push_back(request.headers.at("X-Conversation-Id"));
    return Script{.body = "{}"};
  };
  for (const char* body : {R"({"model":"a"})", R"({"model":"b"})"}) {
    EXPECT_EQ(ask("POST", "/v1/completions", body, {{"x-conversation-id", "c"}}).status, 200);
  }
  ASSERT_EQ(sessions.size(), 2U);
  EXPECT_NE(sessions[0], sessions[1]);

  EXPECT_EQ(ask("GET", "/v1/stream?conv_id=c").status, 200);
  EXPECT_EQ(streams.back().params.at("conv_id"), sessions[1]) << "the newest";
  EXPECT_EQ(ask("GET", "/v1/stream?conv_id=other").status, 200);
  EXPECT_EQ(streams.back().params.at("conv_id"), "other");
  EXPECT_EQ(json(ask("POST", "/v1/streams/lookup", R"({"conversation_ids":["c","other",7]})")),
            (Json::array({{{"conversation_id", "c"}}})));

  streams.clear();
  EXPECT_EQ(ask("DELETE", "/v1/stream?conv_id=c").status, 204);
  ASSERT_EQ(streams.size(), 2U) << "a stop ends both";
  EXPECT_EQ(streams[0].params.at("conv_id"), sessions[1]);
  EXPECT_EQ(streams[1].params.at("conv_id"), sessions[0]);
  EXPECT_EQ(json(ask("POST", "/v1/streams/lookup", R"({"conversation_ids":["c"]})")), Json::array());
}

TEST_F(OpenAi, AHeldRequestIsReplacedByItsOwnModelsNextOneOnly) {
  hold_loads();
  const Headers conversation{{"X-Conversation-Id", "c"}};
  const auto first = begin("POST", "/v1/completions", R"({"model":"a"})", conversation);
  const auto other = begin("POST", "/v1/completions", R"({"model":"b"})", conversation);
  const auto second = begin("POST", "/v1/completions", R"({"model":"a"})", conversation);
  EXPECT_EQ(first->answer().status, 400);
  EXPECT_EQ(ask("GET", "/v1/stream?conv_id=c").status, 503);
  EXPECT_FALSE(other->over());
  EXPECT_EQ(ask("DELETE", "/v1/stream?conv_id=c").status, 204);
  EXPECT_EQ(other->answer().status, 400);
  EXPECT_EQ(second->answer().status, 400);
  let_load_.count_down();
}

TEST_F(OpenAi, ALookUpThatIsNoJsonIsAnsweredAsTheServerThatThisStandsFor) {
  const auto as_router = ask("POST", "/v1/streams/lookup", "{");
  EXPECT_EQ(as_router.status, 200);
  EXPECT_EQ(as_router.body, "[]");
  restart({.settings = {.default_model = "a"}, .single_model = true});
  EXPECT_EQ(ask("POST", "/v1/streams/lookup", "{").status, 400);
}

TEST_F(OpenAi, AFailedLoadIsTheAnswerOfWhoeverWaitedForIt) {
  loader_.during_load = [] { return Status(fail(ErrorCode::kCorruptFile, "a.gguf: truncated")); };
  const auto reply = ask("POST", "/v1/chat/completions", R"({"model":"a"})");
  EXPECT_EQ(reply.status, 422);
  EXPECT_EQ(json(reply)["error"]["switchyard_code"], "corrupt_file");
  EXPECT_NE(reply.body.find("a.gguf: truncated"), std::string::npos);
}

TEST_F(OpenAi, ShutdownRefusesNewRequestsAndFinishesWhatIsHeld) {
  hold_loads();
  const auto held = begin("POST", "/v1/completions", R"({"model":"b"})");
  load_began_.wait();
  app_->begin_shutdown();
  manager_->begin_shutdown();
  EXPECT_EQ(ask("GET", "/health").status, 503);
  EXPECT_EQ(ask("POST", "/v1/completions", R"({"model":"b"})").status, 503);
  EXPECT_FALSE(held->over());
  let_load_.count_down();
  EXPECT_EQ(held->answer().status, 200);
}

TEST_F(OpenAi, WhenItsTimeIsOverShutdownRefusesWhatIsHeldAndEndsWhatRunsWithAnErrorFrame) {
  answer_ = [](engine::Request& request) {
    return Script{.content_type = kSse,
                  .pieces = {"data: {}\n\n", "data: {}\n\n"},
                  .before_piece =
                      [stop = request.should_stop](std::size_t at) {
                        while (at == 1 && !stop()) std::this_thread::yield();
                      },
                  .stop_early = request.should_stop};
  };
  const auto running = begin("POST", "/v1/completions", R"({"model":"a","stream":true})");
  running->wait_for("data: {}");
  hold_loads();
  const auto held = begin("POST", "/v1/completions", R"({"model":"b"})");
  load_began_.wait();
  app_->begin_shutdown();
  EXPECT_FALSE(held->over());
  EXPECT_FALSE(running->over());
  app_->stop_requests();
  EXPECT_EQ(held->answer().status, 503);
  EXPECT_NE(running->answer().body.find("shutting down"), std::string::npos);
  let_load_.count_down();
}

}  // namespace
}  // namespace switchyard::http
