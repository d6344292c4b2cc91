#include <gmock/gmock.h>

#include <thread>

#include "http/tenant_fixture.h"

namespace switchyard::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::TenantTest;

/// chat means b@1; a shadows it.
class ShadowRoutes : public TenantTest {
 protected:
  void SetUp() override {
    TenantTest::SetUp();
    reader_ = make({.key_alias = "reader", .scopes = {tenants::Scope::kRead}});
    user_ = make({.key_alias = "user", .scopes = {tenants::Scope::kInference}});
  }
  Response put(const std::string& body) { return ask("PUT", kPath, body, admin_); }
  Response chat(const Headers& headers, const std::string& more = {}) {
    return ask("POST", "/v1/chat/completions",
               R"({"model":"chat","messages":[{"role":"user","content":"Hi"}])" + more + "}", headers);
  }
  /// Once something is true of the shadow: what it shows then. The server's own threads copy.
  Json wait_for(const std::function<bool(const Json&)>& is_so) {
    for (;;) {
      const Json shadow = json(ask("GET", kPath, "", admin_));
      if (is_so(shadow)) return shadow;
      std::this_thread::yield();
    }
  }
  static std::string said(const std::string& text) {
    return Json{{"choices", {{{"index", 0}, {"message", {{"content", text}}}}}},
                {"usage", {{"prompt_tokens", 5}, {"completion_tokens", 3}}}}
        .dump();
  }

  const std::string kPath = "/admin/v1/aliases/chat/shadow";
  Headers reader_, user_;
};

TEST_F(ShadowRoutes, BeginShowAndStop) {
  const Response begun = put(R"({"to":"a","fraction":0.5,"similarity_model":"b@2","max_tokens":9})");
  ASSERT_EQ(begun.status, 200) << begun.body;
  const Json shadow = json(ask("GET", kPath, "", reader_));
  EXPECT_EQ(shadow["alias"], "chat");
  EXPECT_EQ(shadow["to"], "a@1");
  EXPECT_EQ(shadow["state"], "running");
  EXPECT_EQ(shadow["fraction"], 0.5);
  EXPECT_EQ(shadow["similarity_model"], "b@2");
  EXPECT_EQ(shadow["keep_replies"], false);
  EXPECT_EQ(shadow["beside_users"], false);
  EXPECT_EQ(shadow["max_tokens"], 9);
  EXPECT_EQ(shadow["figures"]["compared"], 0);
  EXPECT_EQ(shadow["figures"]["exact_rate"], nullptr);
  EXPECT_EQ(json(ask("GET", "/admin/v1/shadows", "", reader_))["shadows"].size(), 1U);
  EXPECT_EQ(json(ask("DELETE", kPath, "", admin_))["state"], "stopped");
  EXPECT_EQ(json(ask("GET", kPath, "", reader_))["state"], "stopped");
  EXPECT_EQ(ask("DELETE", kPath, "", admin_).status, 409);
}

TEST_F(ShadowRoutes, WrongOnesAreRefusedWithASentence) {
  const auto refused = [this](const std::string& body, int status) {
    const Response reply = put(body);
    EXPECT_EQ(reply.status, status) << body << " " << reply.body;
    return std::string(json(reply)["error"]["message"]);
  };
  EXPECT_THAT(refused("{}", 400), HasSubstr("'to'"));
  EXPECT_THAT(refused(R"({"to":"b@1"})", 400), HasSubstr("another version"));
  EXPECT_THAT(refused(R"({"to":"nobody"})", 404), HasSubstr("nobody"));
  EXPECT_THAT(refused(R"({"to":"a","fraction":0})", 400), HasSubstr("'fraction'"));
  EXPECT_THAT(refused(R"({"to":"a","fraction":1.5})", 400), HasSubstr("at most 1"));
  EXPECT_THAT(refused(R"({"to":"a","fraction":"x"})", 400), HasSubstr("'fraction'"));
  EXPECT_THAT(refused(R"({"to":"a","similarity_model":"nobody"})", 404), HasSubstr("similarity_model"));
  EXPECT_THAT(refused(R"({"to":"a","max_tokens":0})", 400), HasSubstr("'max_tokens'"));
  EXPECT_THAT(refused(R"({"to":"a","keep_replies":"yes"})", 400), HasSubstr("'keep_replies'"));
  EXPECT_THAT(refused(R"({"to":"a","fractoin":1})", 400), HasSubstr("fractoin"));
  EXPECT_EQ(ask("PUT", "/admin/v1/aliases/nobody/shadow", R"({"to":"a"})", admin_).status, 404);
  EXPECT_EQ(ask("GET", kPath, "", admin_).status, 404);
  EXPECT_EQ(ask("GET", kPath + "/replies", "", admin_).status, 404);
  EXPECT_EQ(ask("DELETE", kPath, "", admin_).status, 404);
}

TEST_F(ShadowRoutes, ACopyIsInNobodysFiguresButItsOwn) {
  std::mutex mutex;
  std::vector<std::string> observed;
  AppOptions options;
  options.on_request = [&](const gateway::RequestRecord& record) {
    const std::scoped_lock lock(mutex);
    observed.push_back(record.name);
  };
  restart(options);
  answer_ = [](engine::Request&) { return gateway::testing::Script{.body = said("Hello")}; };
  load("a");
  ASSERT_EQ(put(R"({"to":"a","fraction":1})").status, 200);
  ASSERT_EQ(ask("POST", "/admin/v1/aliases/chat/canary", R"({"to":"b@2","steps":[99.9]})", admin_).status,
            201);
  const Response reply = chat(user_);
  ASSERT_EQ(reply.status, 200) << reply.body;
  wait_for([](const Json& shadow) { return shadow["figures"]["compared"] == 1; });
  {
    const std::scoped_lock lock(mutex);
    EXPECT_THAT(observed, ::testing::ElementsAre("chat"));
  }
  const Json usage = json(ask("GET", "/admin/v1/usage", "", admin_));
  EXPECT_THAT(usage.dump(), Not(HasSubstr("\"a\""))) << usage.dump();
  const auto canary = canaries_.describe("chat");
  EXPECT_EQ(canary->canary_figures.requests + canary->stable_figures.requests, 1U);
  const std::string metrics = ask("GET", "/metrics", "", admin_).body;
  EXPECT_THAT(metrics, HasSubstr(R"(switchyard_requests_total{model="b",status="200"} 1)"));
  EXPECT_THAT(metrics, Not(HasSubstr(R"(switchyard_requests_total{model="a")")));
  EXPECT_THAT(metrics, HasSubstr(R"(switchyard_shadow_requests_total{alias="chat",result="compared"} 1)"));
  EXPECT_THAT(metrics, HasSubstr(R"(switchyard_shadow_exact_total{alias="chat"} 1)"));
  app_.reset();
}

TEST_F(ShadowRoutes, TheUserHasTheReplyWhileTheCopyIsStillBeingMade) {
  std::latch let_copy_go{1};
  answer_ = [&](engine::Request& request) {
    if (request.body.find("a@1") != std::string::npos) let_copy_go.wait();
    return gateway::testing::Script{.body = said("Hello")};
  };
  load("a");
  ASSERT_EQ(put(R"({"to":"a","fraction":1})").status, 200);
  EXPECT_EQ(chat(user_).status, 200);
  wait_for([](const Json& shadow) { return shadow["waiting"] == 1; });
  EXPECT_EQ(chat(user_).status, 200) << "the copy hangs, and nobody waits for it";
  let_copy_go.count_down();
  wait_for([](const Json& shadow) { return shadow["figures"]["compared"] == 2; });
}

TEST_F(ShadowRoutes, KeptRepliesAreForAdministratorsAndHoldNoSecret) {
  answer_ = [](engine::Request&) { return gateway::testing::Script{.body = said("Hello")}; };
  load("a");
  ASSERT_EQ(put(R"({"to":"a","fraction":1,"keep_replies":true})").status, 200);
  EXPECT_EQ(chat(user_, R"(,"user":"joe")").status, 200);
  wait_for([](const Json& shadow) { return shadow["figures"]["compared"] == 1; });
  EXPECT_TRUE(is_refused(ask("GET", kPath + "/replies", "", reader_)));
  const Response kept = ask("GET", kPath + "/replies", "", admin_);
  const Json pair = json(kept)["replies"][0];
  EXPECT_EQ(pair["reply"], "Hello");
  EXPECT_EQ(pair["shadow_reply"], "Hello");
  EXPECT_EQ(pair["exact"], true);
  EXPECT_THAT(std::string(pair["prompt"]), HasSubstr("Hi"));
  const std::string secret = user_.find("Authorization")->second;
  EXPECT_THAT(kept.body, Not(HasSubstr(secret.substr(secret.size() - 12))));
  EXPECT_THAT(kept.body, Not(HasSubstr("joe")));
  ASSERT_EQ(ask("DELETE", kPath, "", admin_).status, 200);
  EXPECT_EQ(json(ask("GET", kPath + "/replies", "", admin_))["replies"].size(), 0U);
}

TEST_F(ShadowRoutes, EndsWithItsAlias) {
  ASSERT_EQ(put(R"({"to":"a"})").status, 200);
  ASSERT_EQ(ask("DELETE", "/admin/v1/aliases/chat", "", admin_).status, 200);
  EXPECT_EQ(shadows_.of("chat"), nullptr);
}

}  // namespace
}  // namespace switchyard::http
