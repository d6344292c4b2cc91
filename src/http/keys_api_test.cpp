#include "http/key_json.h"

#include <gmock/gmock.h>

#include "http/tenant_fixture.h"

namespace switchyard::http {
namespace {

using testing::AppTest;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TenantTest;

class KeysApiTest : public TenantTest {
 protected:
  Response admin(const std::string& method, const std::string& path, const std::string& body = "") {
    return ask(method, "/admin/v1/keys" + path, body, admin_);
  }
  static Headers with(const Json& issued) { return {{"X-Api-Key", issued["key"].get<std::string>()}}; }
  int look(const Headers& key) { return ask("GET", "/v1/models", "", key).status; }
};

class OpenServerTest : public AppTest {};

TEST_F(OpenServerTest, TheFirstKeyClosesItAndLocksNobodyOut) {
  EXPECT_EQ(ask("GET", "/v1/models").status, 200);
  const auto reply = ask("POST", "/admin/v1/keys", R"({"key_alias":"acme"})");
  ASSERT_EQ(reply.status, 201);
  EXPECT_EQ(ask("GET", "/v1/models").status, 401);
  EXPECT_EQ(ask("GET", "/health").status, 200);
  const Headers admin{{"X-Api-Key", json(reply)["admin_key"].get<std::string>()}};
  EXPECT_EQ(ask("GET", "/admin/v1/keys", "", admin).status, 200);
  const Headers tenant{{"X-Api-Key", json(reply)["key"].get<std::string>()}};
  EXPECT_EQ(ask("GET", "/v1/models", "", tenant).status, 200);
  EXPECT_EQ(ask("GET", "/admin/v1/keys", "", tenant).status, 403);
  EXPECT_FALSE(json(ask("POST", "/admin/v1/keys", "{}", admin)).contains("admin_key")) << "once";
}

TEST_F(OpenServerTest, AServersOwnKeyIsAnAdministrators) {
  restart({.settings = {.api_keys = {"sk-own"}}});
  const Headers own{{"X-Api-Key", "sk-own"}};
  const auto made = ask("POST", "/admin/v1/keys", "{}", own);
  ASSERT_EQ(made.status, 201);
  EXPECT_FALSE(json(made).contains("admin_key"));
  EXPECT_EQ(ask("GET", "/admin/v1/keys", "", own).status, 200);
  EXPECT_EQ(ask("POST", "/admin/v1/keys", "{}").status, 401);
}

TEST_F(KeysApiTest, AKeyIsAsItWasMadeAndItsSecretIsShownOnce) {
  const Json made = json(admin("POST", "", R"({"key_alias":"acme","models":["a"],"aliases":{"chat":"a@1"},
      "rpm_limit":3,"tpm_limit":100,"max_parallel_requests":2,"scopes":["inference","read"],
      "expires":"2099-01-31T12:00:00Z","metadata":{"team":"x"}})"));
  EXPECT_TRUE(made["key"].get<std::string>().starts_with("sk-"));
  Json expected = made;
  expected.erase("key");
  EXPECT_EQ(json(admin("GET", "/acme")), expected);
  EXPECT_EQ(json(admin("GET", "/" + made["token_id"].get<std::string>())), expected);
  EXPECT_EQ(expected["expires"], "2099-01-31T12:00:00.000Z");
  EXPECT_EQ(expected["metadata"], (Json{{"team", "x"}}));
  EXPECT_EQ(expected["scopes"], (Json{"inference", "read"}));
  EXPECT_EQ(expected["rpm_limit"], 3);
  const auto list = admin("GET", "");
  EXPECT_EQ(json(list)["keys"][1], expected);
  EXPECT_THAT(list.body, Not(HasSubstr(made["key"].get<std::string>())));
  EXPECT_THAT(list.body, Not(HasSubstr("hash")));
}

TEST_F(KeysApiTest, EveryChangeHoldsForTheNextRequest) {
  const Json made = json(admin("POST", "", R"({"key_alias":"acme"})"));
  EXPECT_EQ(look(with(made)), 200);
  EXPECT_EQ(admin("POST", "/acme/block").status, 200);
  EXPECT_EQ(look(with(made)), 403);
  EXPECT_EQ(admin("POST", "/acme/unblock").status, 200);
  EXPECT_EQ(look(with(made)), 200);
  const Json rotated = json(admin("POST", "/acme/rotate"));
  EXPECT_EQ(rotated["token_id"], made["token_id"]);
  EXPECT_EQ(look(with(made)), 401);
  EXPECT_EQ(look(with(rotated)), 200);
  EXPECT_EQ(json(admin("POST", "/acme/update", R"({"scopes":["read"],"rpm_limit":9})"))["rpm_limit"], 9);
  EXPECT_EQ(ask("POST", "/v1/completions", R"({"model":"a"})", with(rotated)).status, 403);
  EXPECT_EQ(json(admin("POST", "/acme/update", R"({"rpm_limit":null})"))["rpm_limit"], nullptr);
  EXPECT_EQ(admin("DELETE", "/acme").status, 200);
  EXPECT_EQ(look(with(rotated)), 401);
  EXPECT_EQ(admin("GET", "/acme").status, 404);
  EXPECT_EQ(admin("DELETE", "/acme").status, 404);
}

TEST_F(KeysApiTest, WrongBodiesSayWhatIsWrongAndMakeNothing) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"key_alias":7})", "key_alias"},
      {R"({"name":"x"})", "name"},
      {R"({"models":"a"})", "models"},
      {R"({"models":[""]})", "models"},
      {R"({"aliases":["a"]})", "aliases"},
      {R"({"aliases":{"a":1}})", "aliases"},
      {R"({"scopes":["root"]})", "root"},
      {R"({"scopes":[]})", "scope"},
      {R"({"rpm_limit":0})", "rpm_limit"},
      {R"({"rpm_limit":-1})", "rpm_limit"},
      {R"({"tpm_limit":1.5})", "tpm_limit"},
      {R"({"max_parallel_requests":"2"})", "max_parallel_requests"},
      {R"({"blocked":1})", "blocked"},
      {R"({"duration":"soon"})", "duration"},
      {R"({"duration":"0"})", "duration"},
      {R"({"expires":"2026-13-31T12:00:00Z"})", "expires"},
      {R"({"expires":"tomorrow"})", "expires"},
      {R"({"expires":"2001-01-31T12:00:00Z"})", "clock"},
      {R"({"expires":"2099-01-31T12:00:00Z","duration":"1d"})", "duration"},
      {R"({"metadata":"x"})", "metadata"},
      {"[]", ""},
      {"{", ""},
  };
  for (const auto& [body, word] : cases) {
    const auto reply = admin("POST", "", body);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_THAT(json(reply)["error"]["message"].get<std::string>(), HasSubstr(word)) << body;
  }
  EXPECT_EQ(json(admin("GET", ""))["keys"].size(), 1U) << "the administrator's";
  admin("POST", "", R"({"key_alias":"acme"})");
  EXPECT_EQ(admin("POST", "", R"({"key_alias":"acme"})").status, 409);
}

TEST_F(KeysApiTest, ADurationCountsFromNow) {
  const Json made = json(admin("POST", "", R"({"duration":"30d"})"));
  EXPECT_THAT(made["expires"].get<std::string>(), HasSubstr("T"));
  EXPECT_EQ(look(with(made)), 200);
}

TEST_F(KeysApiTest, WhatCannotBeWrittenIsATypedErrorAndChangesNothing) {
  const Json made = json(admin("POST", "", R"({"key_alias":"acme"})"));
  ASSERT_TRUE(state_.with([](auto& database) { return database.execute("PRAGMA query_only=1"); }));
  for (const auto& reply :
       {admin("POST", "", "{}"), admin("DELETE", "/acme"), admin("POST", "/acme/rotate")}) {
    EXPECT_EQ(reply.status, 503);
    EXPECT_EQ(json(reply)["error"]["switchyard_code"], "unavailable");
  }
  EXPECT_EQ(look(with(made)), 200);
  ASSERT_TRUE(state_.with([](auto& database) { return database.execute("PRAGMA query_only=0"); }));
}

class UsageApiTest : public KeysApiTest {
 protected:
  void SetUp() override {
    KeysApiTest::SetUp();
    answer_ = [](engine::Request&) {
      return gateway::testing::Script{.body = R"({"usage":{"completion_tokens":8,"prompt_tokens":30}})"};
    };
    acme_ = make({.key_alias = "acme", .scopes = {tenants::Scope::kInference, tenants::Scope::kRead}});
    other_ = make({.key_alias = "=other,\"x\""});
    ask("POST", "/v1/completions", R"({"model":"a"})", acme_);
    ask("POST", "/v1/completions", R"({"model":"chat"})", acme_);
    ask("POST", "/v1/completions", R"({"model":"a"})", other_);
    app_.reset();  // requests have been recorded when their worker is done with them
    restart({});
  }
  Headers acme_, other_;
};

TEST_F(UsageApiTest, IsPerKeyModelAndDay) {
  const Json usage = json(ask("GET", "/admin/v1/usage?key=acme", "", admin_))["usage"];
  ASSERT_EQ(usage.size(), 2U);
  EXPECT_EQ(usage[0]["model"], "a");
  EXPECT_EQ(usage[1]["model"], "b") << "what the alias means";
  EXPECT_EQ(usage[0]["key_alias"], "acme");
  EXPECT_EQ(usage[0]["requests"], 1);
  EXPECT_EQ(usage[0]["prompt_tokens"], 30);
  EXPECT_EQ(usage[0]["generated_tokens"], 8);
  EXPECT_EQ(usage[0]["total_tokens"], 38);
  EXPECT_EQ(json(ask("GET", "/admin/v1/usage", "", admin_))["usage"].size(), 3U);
  EXPECT_EQ(json(ask("GET", "/admin/v1/usage?to=2001-01-01", "", admin_))["usage"].size(), 0U);
}

TEST_F(UsageApiTest, OthersSeeTheirOwnOnly) {
  EXPECT_EQ(json(ask("GET", "/admin/v1/usage", "", acme_))["usage"].size(), 2U);
  EXPECT_EQ(json(ask("GET", "/admin/v1/usage?key=acme", "", acme_))["usage"].size(), 2U);
  EXPECT_EQ(ask("GET", "/admin/v1/usage?key=root", "", acme_).status, 403);
  EXPECT_EQ(ask("GET", "/admin/v1/usage?key=nobody", "", acme_).status, 403);
  EXPECT_EQ(ask("GET", "/admin/v1/usage", "", other_).status, 403) << "it has no scope read";
}

TEST_F(UsageApiTest, IsExportedAsCsv) {
  const auto reply = ask("GET", "/admin/v1/usage?format=csv", "", admin_);
  EXPECT_EQ(reply.content_type, "text/csv; charset=utf-8");
  EXPECT_THAT(reply.body, HasSubstr("day,token_id,key_alias,model,requests,errors,prompt_tokens,"
                                    "generated_tokens,total_tokens\r\n"));
  EXPECT_THAT(reply.body, HasSubstr(",acme,a,1,0,30,8,38\r\n"));
  EXPECT_THAT(reply.body, HasSubstr(R"(,"'=other,""x""",a,1,0,30,8,38)")) << "quoted, and no formula";
  EXPECT_EQ(std::ranges::count(reply.body, '\n'), 4);
}

TEST_F(UsageApiTest, WrongQuestionsAreRefused) {
  EXPECT_EQ(ask("GET", "/admin/v1/usage?from=yesterday", "", admin_).status, 400);
  EXPECT_EQ(ask("GET", "/admin/v1/usage?format=xml", "", admin_).status, 400);
}

}  // namespace
}  // namespace switchyard::http
