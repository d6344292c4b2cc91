#include <gmock/gmock.h>

#include "http/app_fixture.h"

namespace switchyard::http::testing {
namespace {

using ::testing::HasSubstr;

class HealthApiTest : public AppTest {
 protected:
  Json of(const std::string& id) {
    const Json all = json(ask("GET", "/admin/v1/health"));
    for (const Json& version : all["versions"]) {
      if (version["id"] == id) return version;
    }
    return nullptr;
  }
  void quarantine_all() {
    for (const models::VersionRef& ref : {models::VersionRef{"a", "1"}, {"b", "1"}, {"b", "2"}})
      ASSERT_TRUE(manager_->quarantine(ref, "it fails"));
  }
};

TEST_F(HealthApiTest, EveryVersionIsThereAndAReplyIsProof) {
  EXPECT_EQ(of("b@2")["health"], "unknown");
  EXPECT_EQ(of("b@2")["since"], nullptr);
  EXPECT_EQ(ask("POST", "/v1/chat/completions", R"({"model":"a","messages":[]})").status, 200);
  app_.reset();  // the record of the request is over
  restart({});
  const Json a = of("a@1");
  EXPECT_EQ(a["state"], "hot");
  EXPECT_EQ(a["health"], "healthy");
  EXPECT_EQ(a["history"][0]["source"], "reply");
  EXPECT_TRUE(a["latency_ms"].is_number());
}

TEST_F(HealthApiTest, IsReadyWhileSomethingMayAnswer) {
  EXPECT_EQ(ask("GET", "/ready").status, 200) << "cold is fine: a request loads it";
  quarantine_all();
  EXPECT_EQ(ask("GET", "/health").status, 200) << "the process is";
  const Response reply = ask("GET", "/ready");
  EXPECT_EQ(reply.status, 503);
  EXPECT_THAT(reply.body, HasSubstr("no model can answer"));
  EXPECT_EQ(json(ask("GET", "/admin/v1/health"))["ready"], false);
  EXPECT_EQ(ask("POST", "/admin/v1/models/b@1/release").status, 200);
  EXPECT_EQ(ask("GET", "/ready").status, 200);
}

TEST_F(HealthApiTest, AQuarantineIsShownAndSaysHowItEnds) {
  quarantine_all();
  const Json version = json(ask("GET", "/admin/v1/models/a"))["versions"][0];
  EXPECT_EQ(version["quarantined"], true);
  EXPECT_EQ(version["error"]["message"], "it fails");
  const Response refused = ask("POST", "/v1/chat/completions", R"({"model":"a","messages":[]})");
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("switchyard release a@1"));
  EXPECT_EQ(ask("POST", "/admin/v1/models/a/load").status, 503);
  EXPECT_EQ(ask("POST", "/admin/v1/models/a/release").status, 200);
  EXPECT_EQ(ask("POST", "/admin/v1/models/a/release").status, 409);
  EXPECT_EQ(ask("POST", "/admin/v1/models/nobody/release").status, 404);
  EXPECT_EQ(ask("POST", "/admin/v1/models/a/load").status, 200);
}

TEST_F(HealthApiTest, MetricsSayHowAVersionIs) {
  load("a");
  ASSERT_TRUE(manager_->mark_broken({"a", "1"}, {ErrorCode::kUnavailable, "its worker died"}));
  while (monitor_.list().at({"a", "1"}).restarts == 0) std::this_thread::yield();
  const std::string text = ask("GET", "/metrics").body;
  EXPECT_THAT(text, HasSubstr(R"(switchyard_engine_restarts_total{model="a"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(switchyard_health_state{model="a",state="unknown"} 1)"));
}

}  // namespace
}  // namespace switchyard::http::testing
