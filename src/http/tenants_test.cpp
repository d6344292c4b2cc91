#include <gmock/gmock.h>

#include <chrono>
#include <latch>

#include "engine/api/token_tally.h"
#include "http/rate_limit.h"
#include "http/tenant_fixture.h"

// What a tenant's requests may do once its key is known: limits, models, names, conversations.

namespace switchyard::http {
namespace {

using namespace std::chrono_literals;
using gateway::testing::Script;
using ::testing::ElementsAre;
using testing::TenantTest;
using ::testing::UnorderedElementsAre;

const char* const kSse = "text/event-stream";

TEST(RateLimitHeaders, TimesAreWrittenAsOpenAiDoes) {
  EXPECT_EQ(reset_text(0ms), "0ms");
  EXPECT_EQ(reset_text(17ms), "17ms");
  EXPECT_EQ(reset_text(17ms + 1ns), "18ms");
  EXPECT_EQ(reset_text(999ms + 1ns), "1s");
  EXPECT_EQ(reset_text(1s), "1s");
  EXPECT_EQ(reset_text(59s + 1ms), "1m0s");
  EXPECT_EQ(reset_text(6min), "6m0s");
}

class LimitsTest : public TenantTest {
 protected:
  Response chat(const Headers& key, const std::string& more = "") {
    return ask("POST", "/v1/chat/completions", R"({"model":"a")" + more + "}", key);
  }
};

TEST_F(LimitsTest, RequestsAMinute) {
  const Headers key = make({.limits = {.rpm = 2}});
  const auto first = chat(key);
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.headers.at("x-ratelimit-limit-requests"), "2");
  EXPECT_EQ(first.headers.at("x-ratelimit-remaining-requests"), "1");
  EXPECT_EQ(first.headers.at("x-ratelimit-reset-requests"), "1m0s");
  EXPECT_FALSE(first.headers.contains("x-ratelimit-limit-tokens")) << "it has no such limit";
  minutes_.advance(20s);
  EXPECT_EQ(chat(key).status, 200);
  const auto refused = chat(key);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(error_type(refused), "rate_limit_error");
  EXPECT_EQ(refused.headers.at("Retry-After"), "40");
  EXPECT_EQ(refused.headers.at("retry-after-ms"), "40000");
  EXPECT_EQ(refused.headers.at("x-ratelimit-remaining-requests"), "0");
  const auto anthropic = ask("POST", "/v1/messages", R"({"model":"a"})", key);
  EXPECT_EQ(json(anthropic)["type"], "error");
  EXPECT_EQ(error_type(anthropic), "rate_limit_error");
  EXPECT_EQ(ask("GET", "/v1/models", "", key).status, 200) << "looking is free";
  minutes_.advance(40s);
  EXPECT_EQ(chat(key).status, 200);
}

TEST_F(LimitsTest, AKeyWithoutLimitsHasNoHeadersOfThem) {
  const auto reply = chat(make({}));
  EXPECT_EQ(reply.status, 200);
  for (const auto& [name, value] : reply.headers) EXPECT_FALSE(name.starts_with("x-ratelimit")) << name;
}

TEST_F(LimitsTest, TokensAMinuteAreThoseOfTheReplies) {
  answer_ = [](engine::Request&) {
    return Script{.body = R"({"usage":{"completion_tokens":8,"prompt_tokens":30}})"};
  };
  const Headers key = make({.limits = {.tpm = 70}});
  const auto first = chat(key);
  EXPECT_EQ(first.headers.at("x-ratelimit-limit-tokens"), "70");
  EXPECT_EQ(first.headers.at("x-ratelimit-remaining-tokens"), "32") << "this reply's are charged";
  EXPECT_EQ(chat(key).status, 200);
  const auto refused = chat(key);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.headers.at("x-ratelimit-remaining-tokens"), "0");
  EXPECT_EQ(refused.headers.at("x-ratelimit-reset-tokens"), "1m0s");
}

TEST_F(LimitsTest, TokensThatARunningRequestMayTakeAreNotGivenToAnother) {
  std::latch running(1), end(1);
  answer_ = [&](engine::Request&) {
    running.count_down();
    end.wait();
    return Script{.body = R"({"usage":{"completion_tokens":8,"prompt_tokens":30}})"};
  };
  const Headers key = make({.limits = {.tpm = 150}});
  const std::string body = R"({"model":"a","max_tokens":50})";  // and 32 for the prompt
  const auto first = begin("POST", "/v1/chat/completions", body, key);
  running.wait();
  const auto refused = ask("POST", "/v1/chat/completions", body, key);
  EXPECT_EQ(refused.status, 429);
  EXPECT_THAT(refused.body, ::testing::HasSubstr("its requests that run"));
  EXPECT_EQ(refused.headers.at("Retry-After"), "1");
  end.count_down();
  EXPECT_EQ(first->answer().status, 200);
  EXPECT_EQ(ask("POST", "/v1/chat/completions", body, key).status, 200) << "38 were used";
  EXPECT_EQ(ask("POST", "/v1/chat/completions", R"({"model":"a","max_tokens":1})", key).status, 200);
  EXPECT_EQ(ask("POST", "/v1/chat/completions", body, key).status, 429);
}

/// llama-server's `response_fields` may leave the counts out.
TEST_F(LimitsTest, AReplyWithoutCountsIsChargedByWhatItsEngineSays) {
  answer_ = [](engine::Request& request) {
    Script script{.body = "{}"};
    if (request.path == "/completion") script.headers = {{engine::kTokensHeader, "1 30 70"}};
    return script;
  };
  const Headers key = make({.limits = {.tpm = 1000}});
  const auto left = [&](const std::string& path) {
    const auto reply = ask("POST", path, R"({"model":"a"})", key);
    EXPECT_FALSE(reply.headers.contains(engine::kTokensHeader)) << "not for clients";
    return reply.headers.at("x-ratelimit-remaining-tokens");
  };
  EXPECT_EQ(left("/completion"), "900");
  EXPECT_EQ(left("/tokenize"), "900") << "which generates nothing";
}

TEST_F(LimitsTest, AStreamThatItsClientLeavesIsChargedByItsPieces) {
  std::latch two(1), go_on(1);
  answer_ = [&](engine::Request&) {
    return Script{.content_type = kSse,
                  .pieces = {"data: {}\n\n", "data: {}\n\n", "data: [DONE]\n\n"},
                  .before_piece = [&](std::size_t at) {
                    if (at != 2) return;
                    two.count_down();
                    go_on.wait();
                  }};
  };
  const Headers key = make({.limits = {.tpm = 2, .parallel = 1}});
  const auto left = begin("POST", "/v1/chat/completions", R"({"model":"a","stream":true})", key);
  two.wait();
  left->leave();
  go_on.count_down();
  left->answer();
  const auto refused = chat(key);
  EXPECT_EQ(refused.status, 429);
  EXPECT_THAT(refused.body, ::testing::HasSubstr("tokens a minute"));
}

TEST_F(LimitsTest, RequestsAtOnce) {
  std::latch running(1), end(1);
  answer_ = [&](engine::Request&) {
    running.count_down();
    end.wait();
    return Script{.body = "{}"};
  };
  const Headers key = make({.limits = {.parallel = 1}});
  const auto first = begin("POST", "/v1/chat/completions", R"({"model":"a"})", key);
  running.wait();
  const auto refused = chat(key);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.headers.at("Retry-After"), "1");
  end.count_down();
  EXPECT_EQ(first->answer().status, 200);
}

/// A client that waits for its replies never meets its own limit of one.
TEST_F(LimitsTest, APlaceIsFreeWhenItsReplyHasEnded) {
  const Headers key = make({.limits = {.parallel = 1}});
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(chat(key).status, 200);
    EXPECT_NE(chat(key, R"(,"model":"none")").status, 429) << "failures give it back, too";
  }
  std::latch done(1);
  answer_ = [&](engine::Request& request) {
    if (request.path != "/v1/chat/completions") return Script{.body = "{}"};
    return Script{.content_type = kSse,
                  .pieces = {"data: {}\n\n", "data: [DONE]\n\n", "\n"},
                  .before_piece = [&](std::size_t at) {
                    if (at == 2) done.wait();
                  }};
  };
  const auto stream = begin("POST", "/v1/chat/completions", R"({"model":"a","stream":true})", key);
  stream->wait_for("[DONE]");
  EXPECT_EQ(ask("POST", "/v1/embeddings", R"({"model":"a"})", key).status, 200) << "its client has it all";
  done.count_down();
  stream->answer();
}

class NamesTest : public TenantTest {
 protected:
  static std::vector<std::string> ids(const Response& reply) {
    std::vector<std::string> ids;
    const Json list = json(reply);
    for (const Json& entry : list["data"]) {
      ids.push_back(entry["id"]);
      for (const Json& alias : entry["aliases"]) ids.push_back("alias " + alias.get<std::string>());
    }
    return ids;
  }
  std::vector<std::string> listed(const Headers& key) { return ids(ask("GET", "/v1/models", "", key)); }
  std::string answered_by(const std::string& name, const Headers& key) {
    const auto reply = ask("POST", "/v1/completions", R"({"model":")" + name + R"("})", key);
    return reply.status == 200 ? reply.headers.at("x-switchyard-version") : std::to_string(reply.status);
  }
};

TEST_F(NamesTest, AKeySeesWhatItMayAskFor) {
  EXPECT_THAT(listed(make({})), UnorderedElementsAre("a", "b", "b@1", "alias chat"));
  EXPECT_THAT(listed(make({.models = {"a"}})), ElementsAre("a"));
  EXPECT_THAT(listed(make({.models = {"b@1"}})), ElementsAre("b@1"));
  EXPECT_THAT(listed(make({.models = {"chat"}})), ElementsAre("chat")) << "the alias, not what it means";
  EXPECT_THAT(listed(make({.models = {"chat", "b"}})), UnorderedElementsAre("b", "b@1", "alias chat"));
  EXPECT_THAT(listed(make({.models = {"none"}})), ElementsAre());
}

TEST_F(NamesTest, AliasesOfItsOwnComeBeforeTheServers) {
  const Headers acme = make({.models = {"chat"}, .aliases = {{"chat", "a@1"}, {"mine", "b@2"}}});
  const Headers other = make({.models = {"chat"}});
  EXPECT_EQ(answered_by("chat", acme), "a@1");
  EXPECT_EQ(answered_by("chat", other), "b@1");
  EXPECT_EQ(answered_by("mine", acme), "b@2");
  EXPECT_EQ(answered_by("mine", other), "403");
  EXPECT_EQ(answered_by("a@1", acme), "403") << "only by the name that it was given";
  EXPECT_THAT(listed(acme), UnorderedElementsAre("chat", "mine"));
}

TEST_F(NamesTest, PropsAreThoseOfTheNameThatTheKeyMeans) {
  load("a");
  const Headers acme = make({.models = {"chat"}, .aliases = {{"chat", "a@1"}}});
  EXPECT_EQ(ask("GET", "/props?model=chat", "", acme).headers.at("x-switchyard-version"), "a@1");
}

TEST_F(NamesTest, AOneModelServerHoldsToItsOneModel) {
  restart({.settings = {.default_model = "a"}, .single_model = true});
  load("a");
  const Headers no = make({.models = {"b"}}), yes = make({.models = {"a"}});
  EXPECT_EQ(answered_by("anything", no), "403");
  EXPECT_EQ(answered_by("anything", yes), "a@1");
  EXPECT_THAT(listed(no), ElementsAre());
  EXPECT_EQ(json(ask("GET", "/v1/models", "", yes))["data"].size(), 1U);
}

TEST_F(NamesTest, OnlyAdministratorsReloadByAskingForTheList) {
  int reloads = 0;
  restart({.reload_catalog = [&]() -> Status {
    ++reloads;
    return {};
  }});
  EXPECT_EQ(ask("GET", "/models?reload=1", "", make({})).status, 403);
  EXPECT_EQ(reloads, 0);
  EXPECT_EQ(ask("GET", "/models?reload=1", "", admin_).status, 200);
  EXPECT_EQ(reloads, 1);
}

/// llama.cpp's map of streams: has those that engines were asked for.
class Streams final : public engine::ProcessRoutes {
 public:
  explicit Streams(std::vector<std::string>& keys) : keys_(keys) {}
  [[nodiscard]] std::unique_ptr<engine::Reply> handle(engine::Request request) override {
    Script script{.status = 404, .body = "{}"};
    if (request.path == "/v1/streams/lookup") {
      Json found = Json::array();
      const Json body = Json::parse(request.body);
      for (const Json& id : body["conversation_ids"]) {
        for (const std::string& key : keys_) {
          if (key.starts_with(id.get<std::string>())) found.push_back({{"conversation_id", key}});
        }
      }
      script = {.body = found.dump()};
    } else if (std::ranges::count(keys_, request.params["conv_id"]) > 0) {
      if (request.method == "DELETE") std::erase(keys_, request.params["conv_id"]);
      script = {.body = R"({"replayed":true})"};
    }
    return std::make_unique<gateway::testing::ScriptedReply>(std::move(script));
  }

 private:
  std::vector<std::string>& keys_;
};

class ConversationsTest : public TenantTest {
 protected:
  void SetUp() override {
    TenantTest::SetUp();
    process_routes_ = std::make_unique<Streams>(streams_);
    restart({});
    answer_ = [this](engine::Request& request) {
      streams_.push_back(request.headers.at("X-Conversation-Id"));
      return Script{.body = "{}"};
    };
  }
  void talk(const std::string& conversation, Headers key) {
    key["X-Conversation-Id"] = conversation;
    EXPECT_EQ(ask("POST", "/v1/chat/completions", R"({"model":"a"})", key).status, 200);
  }
  Json found(const std::string& conversation, const Headers& key) {
    return json(ask("POST", "/v1/streams/lookup", Json{{"conversation_ids", {conversation}}}.dump(), key));
  }
  std::vector<std::string> streams_;
};

TEST_F(ConversationsTest, ArePrivateToTheKeyThatMadeThem) {
  const Headers acme = make({.key_alias = "acme"}), other = make({});
  talk("c", acme);
  const Json its{{{"conversation_id", "c"}}};
  EXPECT_EQ(found("c", acme), its) << "under the id that its client gave";
  EXPECT_EQ(ask("GET", "/v1/stream?conv_id=c", "", acme).status, 200);
  // Whatever others make of what they can see.
  const std::string id = tenants_.keyring.find("acme").value()->id;
  for (const std::string& guess : {std::string("c"), streams_[0], id + "\x1e" + "c", id}) {
    std::string encoded;
    for (const char c : guess) encoded += c == '\x1e' ? "%1e" : c == '\x1f' ? "%1f" : std::string(1, c);
    for (const Headers& stranger :
         {other, make({.scopes = {tenants::Scope::kInference, tenants::Scope::kRead}})}) {
      EXPECT_EQ(found(guess, stranger), Json::array()) << guess;
      EXPECT_EQ(ask("GET", "/v1/stream?conv_id=" + encoded, "", stranger).status, 404) << guess;
      (void)ask("DELETE", "/v1/stream?conv_id=" + encoded, "", stranger);
      EXPECT_EQ(streams_.size(), 1U) << guess << ": nobody else ends it";
    }
  }
  EXPECT_EQ(found("c", acme), its);
  EXPECT_EQ(ask("DELETE", "/v1/stream?conv_id=c", "", acme).status, 204);
  EXPECT_EQ(streams_.size(), 0U);
}

TEST_F(ConversationsTest, OfOneNameAreTwoOfTwoKeys) {
  const Headers acme = make({.key_alias = "acme"}), other = make({});
  talk("c", acme);
  talk("c", other);
  ASSERT_EQ(streams_.size(), 2U);
  EXPECT_NE(streams_[0], streams_[1]);
  EXPECT_EQ(ask("DELETE", "/v1/stream?conv_id=c", "", other).status, 204);
  EXPECT_EQ(found("c", acme).size(), 1U);
  EXPECT_EQ(found("c", other).size(), 0U);
}

TEST_F(ConversationsTest, StayWithAKeyWhoseSecretIsRotated) {
  const Headers acme = make({.key_alias = "acme"});
  talk("c", acme);
  const Headers rotated{{"X-Api-Key", tenants_.keyring.rotate("acme")->secret}};
  EXPECT_EQ(found("c", rotated).size(), 1U);
}

}  // namespace
}  // namespace switchyard::http
