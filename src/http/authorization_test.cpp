#include <gmock/gmock.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "http/router.h"
#include "http/tenant_fixture.h"

// Who may have what, generated from the API document: an operation without a rule fails here.

namespace switchyard::http {
namespace {

using tenants::Scope;
using testing::TenantTest;

struct Operation {
  std::string method = {}, path = {}, target = {}, scope = {};
  Json described = {};
  [[nodiscard]] std::string name() const { return method + " " + path; }
  [[nodiscard]] bool is_endless() const { return path == "/admin/v1/events" || path == "/models/sse"; }
};

class AuthorizationTest : public TenantTest {
 protected:
  std::vector<Operation> operations() {
    std::vector<Operation> all;
    const Json document = json(ask("GET", "/openapi.json", "", admin_));
    for (const auto& [path, methods] : document["paths"].items()) {
      for (const auto& [method, described] : methods.items()) {
        Operation operation{.path = path, .target = path, .described = described};
        for (const char c : method) operation.method += static_cast<char>(std::toupper(c));
        for (auto at = operation.target.find('{'); at != std::string::npos; at = operation.target.find('{'))
          operation.target.replace(at, operation.target.find('}') - at + 1, "x");
        operation.scope = described.value("x-switchyard-scope", "");
        all.push_back(std::move(operation));
      }
    }
    return all;
  }
  /// 401, 403, or 200 for everything that the rules let through.
  int status_for(const Operation& operation, const Headers& headers) {
    const auto exchange = begin(operation.method, operation.target, "{}", headers);
    if (operation.is_endless() && !exchange->over()) {
      exchange->leave();
      return 200;
    }
    const Response reply = exchange->answer();
    if (reply.status == 401 || is_refused(reply)) return reply.status;
    return 200;
  }
};

TEST_F(AuthorizationTest, EveryOperationIsForThoseThatItsRuleNames) {
  using Statuses = std::vector<int>;  // without a key; inference, read and admin keys
  const std::map<std::string, Statuses> rules = {{"none", {200, 200, 200, 200}},
                                                 {"any", {401, 200, 200, 200}},
                                                 {"inference", {401, 200, 403, 200}},
                                                 {"read", {401, 403, 200, 200}},
                                                 {"admin", {401, 403, 403, 200}}};
  const std::vector<Headers> callers = {
      {}, make({.scopes = {Scope::kInference}}), make({.scopes = {Scope::kRead}}), admin_};
  const auto all = operations();
  EXPECT_EQ(all.size(), app_->routes().size());
  for (const Operation& operation : all) {
    ASSERT_TRUE(rules.contains(operation.scope)) << operation.name() << " has no rule in x-switchyard-scope";
    Statuses statuses;
    for (const Headers& caller : callers) statuses.push_back(status_for(operation, caller));
    EXPECT_EQ(statuses, rules.at(operation.scope)) << operation.name();
  }
}

TEST_F(AuthorizationTest, OnlyTheHealthChecksTakeNoKey) {
  std::vector<std::string> keyless;
  for (const Operation& operation : operations()) {
    if (operation.scope == "none") keyless.push_back(operation.name());
  }
  EXPECT_THAT(keyless, ::testing::ElementsAre("GET /health", "GET /ready", "GET /v1/health"));
}

TEST_F(AuthorizationTest, KeysThatAreNoMoreOpenNothing) {
  const Headers blocked = make({.key_alias = "blocked", .scopes = {Scope::kAdmin}, .blocked = true});
  const Headers revoked = make({.key_alias = "revoked", .scopes = {Scope::kAdmin}});
  ASSERT_TRUE(tenants_.keyring.revoke("revoked"));
  for (const Operation& operation : operations()) {
    if (operation.scope == "none") continue;
    EXPECT_EQ(status_for(operation, blocked), 403) << operation.name();
    EXPECT_EQ(status_for(operation, revoked), 401) << operation.name();
    EXPECT_EQ(status_for(operation, {{"X-Api-Key", "sk-guess"}}), 401) << operation.name();
  }
}

/// Every operation that takes a model, in the body or the query, and that a tenant's key may have.
TEST_F(AuthorizationTest, NoOperationReachesAModelThatTheKeyMayNotUse) {
  const Headers tenant = make({.models = {"a"}});
  app_->apply({.default_model = "b"});
  int asked = 0;
  for (const Operation& operation : operations()) {
    if (operation.scope != "inference" && operation.scope != "any") continue;
    const std::string text = operation.described.dump();
    const bool in_body = text.find(R"("model":{)") != std::string::npos;
    const bool in_query = text.find(R"("name":"model")") != std::string::npos;
    if (!in_body && !in_query) continue;
    ++asked;
    const bool anthropic = operation.path.starts_with("/v1/messages");
    for (const std::string name : {"b", "b@1", "chat", ""}) {
      const std::string body = in_body && !name.empty() ? R"({"model":")" + name + R"("})" : "{}";
      const std::string target = operation.target + (in_query && !name.empty() ? "?model=" + name : "");
      if (name.empty() && operation.path == "/props") continue;  // the server's own
      const Response reply = ask(operation.method, target, body, tenant);
      EXPECT_TRUE(is_refused(reply)) << operation.name() << " " << name << ": " << reply.body;
      EXPECT_EQ(json(reply).contains("type"), anthropic) << operation.name() << ": in its dialect's form";
    }
    const Response own = ask(operation.method, operation.target + (in_query ? "?model=a" : ""),
                             in_body ? R"({"model":"a"})" : "{}", tenant);
    EXPECT_FALSE(is_refused(own)) << operation.name();
  }
  EXPECT_GT(asked, 25);
}

}  // namespace
}  // namespace switchyard::http
