#include "http/app_fixture.h"
#include "http/auth.h"
#include "http/cors.h"
#include "http/errors.h"
#include "http/router.h"

namespace switchyard::http {
namespace {

using testing::AppTest;

class AppRules : public AppTest {
 protected:
  /// A request that the route matches.
  static std::string target_of(const Route& route) {
    std::string path = route.pattern;
    for (auto at = path.find("/:"); at != std::string::npos; at = path.find("/:")) {
      path.replace(at, path.find('/', at + 1) - at, "/x");
    }
    return path;
  }
};

TEST(Keys, TakesLlamaServersHeaders) {
  const tenants::SecretSet keys{"sk-one", "sk-two"};
  store::StateDatabase state;
  const tenants::Keyring none{store::KeyStore(state)};
  const auto let_in = [&](Headers headers) {
    return authenticate(keys, none, testing::request_for("GET", "/", "", std::move(headers))).has_value();
  };
  EXPECT_TRUE(let_in({{"Authorization", "Bearer sk-one"}}));
  EXPECT_TRUE(let_in({{"authorization", "sk-two"}}));
  EXPECT_TRUE(let_in({{"x-api-key", "sk-two"}}));
  EXPECT_TRUE(let_in({{"X-Api-Key", "Bearer sk-one"}}));
  EXPECT_FALSE(let_in({}));
  EXPECT_FALSE(let_in({{"Authorization", "Bearer "}}));
  EXPECT_FALSE(let_in({{"Authorization", "Bearer sk-on"}}));
  EXPECT_FALSE(let_in({{"Authorization", "Bearer sk-onE"}}));
  EXPECT_FALSE(let_in({{"Authorization", "Basic sk-one"}}));
  EXPECT_FALSE(let_in(
      {{"Authorization", "Bearer no"}, {"X-Api-Key", "sk-one"}}));  // as llama-server: the first counts
  EXPECT_TRUE(authenticate({}, none, testing::request_for("GET", "/")));
}

TEST(Cors, KnowsLocalOrigins) {
  for (const char* origin : {"http://localhost", "http://localhost:8080", "https://127.0.0.1:3000",
                             "http://[::1]", "http://[::1]:3000", "http://u:p@localhost/x"}) {
    EXPECT_TRUE(is_local_origin(origin)) << origin;
  }
  for (const char* origin : {"", "null", "localhost", "ftp://localhost", "http://localhost.evil.com",
                             "http://evil.com/localhost", "http://localhost@evil.com", "http://[::1"}) {
    EXPECT_FALSE(is_local_origin(origin)) << origin;
  }
}

TEST(Cors, FollowsTheOptions) {
  const auto allowed = [](const CorsOptions& options, std::string_view origin) {
    const auto headers = cors_headers(options, origin);
    const auto it = headers.find("Access-Control-Allow-Origin");
    return it == headers.end() ? std::string("none") : it->second;
  };
  EXPECT_EQ(allowed({}, "http://a.com"), "http://a.com");  // credentials: the star would not do
  EXPECT_EQ(allowed({}, ""), "none");
  EXPECT_EQ(allowed({.credentials = false}, "http://a.com"), "*");
  EXPECT_EQ(allowed({.origins = "localhost"}, "http://a.com"), "none");
  EXPECT_EQ(allowed({.origins = "localhost"}, "http://localhost:1"), "http://localhost:1");
  EXPECT_EQ(allowed({.origins = "http://b.com"}, "http://a.com"), "http://b.com");
  const CorsOptions two{.origins = "http://b.com, http://c.com"};
  EXPECT_EQ(allowed(two, "http://c.com"), "http://c.com");
  EXPECT_EQ(allowed(two, "http://b.com"), "http://b.com");
  for (const char* other : {"", "http://a.com", "http://b.com, http://c.com", "http://b.co"})
    EXPECT_EQ(allowed(two, other), "none") << other;
  EXPECT_EQ(cors_headers(two, "http://a.com").at("Vary"), "Origin");
}

TEST_F(AppRules, SettingsHoldFromTheNextRequestOn) {
  answer_ = [](engine::Request& request) {
    return gateway::testing::Script{.body = R"({"said":")" + request.path + R"("})"};
  };
  EXPECT_EQ(ask("POST", "/v1/completions", "{}").status, 400) << "no model is the default";
  app_->apply({.default_model = "a", .api_keys = {"sk"}, .cors = {.origins = "http://b.com"}});
  EXPECT_EQ(ask("POST", "/v1/completions", "{}").status, 401);
  const auto reply = ask("POST", "/v1/completions", "{}", {{"Authorization", "Bearer sk"}});
  EXPECT_EQ(reply.status, 200);
  app_->apply({.default_model = "a", .autoload = false});
  EXPECT_EQ(ask("POST", "/v1/completions", "{}").status, 200);
  EXPECT_NE(ask("POST", "/v1/completions", R"({"model":"b"})").status, 200) << "autoload is off";
}

TEST_F(AppRules, NoRouteButTheKeylessOnesAnswersWithoutAKey) {
  restart({.settings = {.api_keys = {"sk"}}});
  std::vector<std::string> keyless;
  for (const Route& route : app_->routes()) {
    const auto exchange = begin(route.method, target_of(route), "{}");
    if (route.access == Access::kKeyless) {
      keyless.push_back(route.pattern);
      EXPECT_EQ(exchange->answer().status, 200) << route.pattern;
      continue;
    }
    const auto reply = exchange->answer();
    EXPECT_EQ(reply.status, 401) << route.method << " " << route.pattern;
    if (dialect_of(route.pattern) == Dialect::kAnthropic) {
      EXPECT_EQ(error_type(reply), "authentication_error");
      continue;
    }
    EXPECT_EQ(
        json(reply),
        (Json{{"error", {{"message", "Invalid API Key"}, {"type", "authentication_error"}, {"code", 401}}}}));
  }
  EXPECT_EQ(keyless, (std::vector<std::string>{"/health", "/v1/health", "/ready"}));
  EXPECT_EQ(ask("GET", "/no/such/path").status, 401);
}

TEST_F(AppRules, NothingButTheFrontPageAnswersBeforeItIsReady) {
  app_ = make_app(AppOptions());
  for (const Route& route : app_->routes()) {
    const auto reply = ask(route.method, target_of(route), "{}");
    EXPECT_EQ(reply.status, route.pattern == "/" ? 200 : 503) << route.pattern;
  }
  const auto reply = ask("GET", "/health");
  EXPECT_EQ(json(reply),
            (Json{{"error", {{"message", "Loading model"}, {"type", "unavailable_error"}, {"code", 503}}}}));
}

TEST_F(AppRules, EveryRouteIsDescribedAndNothingElse) {
  const Json document = json(ask("GET", "/openapi.json"));
  std::vector<std::string> routed;
  for (const Route& route : app_->routes()) {
    std::string path = route.pattern;
    for (auto at = path.find("/:"); at != std::string::npos; at = path.find("/:")) {
      const auto end = std::min(path.find('/', at + 1), path.size());
      path.insert(end, "}");
      path.replace(at, 2, "/{");
    }
    std::string method = route.method;
    for (char& c : method) c = static_cast<char>(std::tolower(c));
    EXPECT_TRUE(document["paths"].contains(path) && document["paths"][path].contains(method))
        << method << path;
    routed.push_back(method + path);
  }
  std::size_t described = 0;
  for (const auto& [path, operations] : document["paths"].items()) described += operations.size();
  EXPECT_EQ(described, routed.size());
}

TEST_F(AppRules, UnknownPathsAndMethodsAre404AsInLlamaServer) {
  for (const auto& [method, path] : {std::pair{"GET", "/nope"},
                                     {"GET", "/health/"},
                                     {"PUT", "/health"},
                                     {"POST", "/health"},
                                     {"GET", "/slots/"},
                                     {"DELETE", "/v1/models"},
                                     {"GET", "/admin/v1/models/../../health"}}) {
    const auto reply = ask(method, path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_EQ(json(reply),
              (Json{{"error", {{"message", "File Not Found"}, {"type", "not_found_error"}, {"code", 404}}}}));
  }
  EXPECT_EQ(ask("HEAD", "/health").status, 200);
  for (const char* events : {"/admin/v1/events", "/models/sse"})
    EXPECT_EQ(ask("HEAD", events).status, 200) << "and it ends";
  EXPECT_EQ(ask("POST", "/v1/completions", "\x1f\x8b", {{"Content-Encoding", "gzip"}}).status, 415);
}

TEST_F(AppRules, ThePrefixIsInFrontOfEverythingPublicPathsToo) {
  restart({.settings = {.api_keys = {"sk"}}, .api_prefix = "/v9"});
  EXPECT_EQ(ask("GET", "/v9/health").status, 200);
  EXPECT_EQ(ask("GET", "/v9/ready").status, 200);
  EXPECT_EQ(ask("GET", "/v9/models").status, 401);
  const Headers key{{"X-Api-Key", "sk"}};
  EXPECT_EQ(ask("GET", "/health", "", key).status, 404);
  EXPECT_EQ(json(ask("POST", "/v9/tokenize", R"({"model":"a"})", key))["path"], "/tokenize");
  EXPECT_EQ(json(ask("GET", "/v9/openapi.json", "", key))["servers"][0]["url"], "/v9");
}

TEST_F(AppRules, BrowsersMayAskWithoutAKey) {
  restart({.settings = {.api_keys = {"sk"}}});
  const auto reply = ask("OPTIONS", "/completions", "", {{"Origin", "web.mydomain.fr"}});
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("Access-Control-Allow-Origin"), "web.mydomain.fr");
  EXPECT_EQ(reply.headers.at("Access-Control-Allow-Credentials"), "true");
  EXPECT_EQ(reply.headers.at("Access-Control-Allow-Methods"), "GET, POST, PUT, DELETE, OPTIONS");
  EXPECT_EQ(reply.headers.at("Access-Control-Allow-Headers"), "*");
  const auto refused = ask("GET", "/models", "", {{"Origin", "http://x.y"}});
  EXPECT_EQ(refused.headers.at("Access-Control-Allow-Origin"), "http://x.y");
}

TEST_F(AppRules, DisabledFeaturesSayThatTheyAre) {
  for (const char* method : {"GET", "POST"}) {
    for (const char* path : {"/tools", "/cors-proxy"}) {
      const auto reply = ask(method, path);
      EXPECT_EQ(reply.status, 403);
      EXPECT_EQ(json(reply),
                (Json{{"error", {{"message", "this feature is disabled"}, {"type", "feature_disabled"}}}}));
    }
  }
}

}  // namespace
}  // namespace switchyard::http
