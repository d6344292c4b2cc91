#include <gmock/gmock.h>

#include "http/app_fixture.h"
#include "http/canary_api.h"

namespace switchyard::http {
namespace {

using testing::AppTest;
using ::testing::HasSubstr;

/// chat means b@1; a is the canary.
class CanaryRoutes : public AppTest {
 protected:
  const std::string kPath = "/admin/v1/aliases/chat/canary";
  Response start(const std::string& more = {}) {
    return ask("POST", kPath, R"({"to":"a","steps":[10,50],"interval":"1m","why":"newer")" + more + "}");
  }
};

TEST_F(CanaryRoutes, BeginShowAndEnd) {
  const Response begun = start(R"(,"min_requests":3,"sticky":{"header":"x-user-id"})");
  ASSERT_EQ(begun.status, 201) << begun.body;
  const Json canary = json(ask("GET", kPath));
  EXPECT_EQ(canary["stable"], "b@1");
  EXPECT_EQ(canary["canary"], "a@1");
  EXPECT_EQ(canary["state"], "running");
  EXPECT_EQ(canary["percent"], 10.0);
  EXPECT_EQ(canary["plan"]["interval_seconds"], 60.0);
  EXPECT_EQ(canary["plan"]["min_requests"], 3);
  EXPECT_EQ(canary["decisions"][0]["move"], "start");
  EXPECT_EQ(canary["decisions"][0]["reason"], "newer");
  EXPECT_EQ(json(ask("GET", "/admin/v1/aliases/chat"))["sticky"]["header"], "x-user-id");
  EXPECT_EQ(json(ask("GET", "/admin/v1/canaries"))["canaries"].size(), 1U);
  EXPECT_EQ(start().status, 409);
  EXPECT_EQ(json(ask("POST", kPath + "/pause"))["state"], "paused");
  EXPECT_EQ(json(ask("POST", kPath + "/resume"))["state"], "running");
  EXPECT_EQ(json(ask("POST", kPath + "/promote"))["state"], "promoted");
  EXPECT_EQ(json(ask("GET", "/admin/v1/aliases/chat"))["to"], "a@1");
  EXPECT_EQ(ask("DELETE", kPath).status, 409) << "it has ended";
}

TEST_F(CanaryRoutes, AbortGivesAllOfItBack) {
  ASSERT_EQ(start().status, 201);
  EXPECT_EQ(json(ask("DELETE", kPath))["state"], "aborted");
  const Json chat = json(ask("GET", "/admin/v1/aliases/chat"));
  EXPECT_EQ(chat["to"], "b@1");
  EXPECT_TRUE(chat["split"].is_null());
}

TEST_F(CanaryRoutes, WrongOnesAreRefusedWithASentence) {
  const auto refused = [this](const std::string& body, int status) {
    const Response reply = ask("POST", kPath, body);
    EXPECT_EQ(reply.status, status) << body << " " << reply.body;
    return std::string(json(reply)["error"]["message"]);
  };
  EXPECT_THAT(refused("{}", 400), HasSubstr("'to'"));
  EXPECT_THAT(refused(R"({"to":"b@1"})", 400), HasSubstr("already"));
  EXPECT_THAT(refused(R"({"to":"nobody"})", 404), HasSubstr("nobody"));
  EXPECT_THAT(refused(R"({"to":"a","steps":[50,10]})", 400), HasSubstr("must rise"));
  EXPECT_THAT(refused(R"({"to":"a","steps":"5"})", 400), HasSubstr("'steps'"));
  EXPECT_THAT(refused(R"({"to":"a","min_requests":-1})", 400), HasSubstr("'min_requests'"));
  EXPECT_THAT(refused(R"({"to":"a","max_error_rate":"x"})", 400), HasSubstr("'max_error_rate'"));
  EXPECT_THAT(refused(R"({"to":"a","interval":"soon"})", 400), HasSubstr("'interval'"));
  EXPECT_EQ(ask("GET", kPath).status, 404);
  EXPECT_EQ(ask("POST", kPath + "/pause").status, 404);
}

TEST(CanaryObservationTest, IsWhatTheRecordSays) {
  using namespace std::chrono_literals;
  gateway::RequestRecord record;
  record.version = {"a", "1"};
  record.method = "POST";
  record.path = "/v1/chat/completions";
  record.status = 200;
  record.streamed = true;
  record.queued = 1s;
  record.first_byte = 1100ms;
  record.total = 2100ms;
  record.tokens.generated = 50;
  const auto good = canary_observation(record);
  EXPECT_TRUE(good.counts);
  EXPECT_FALSE(good.is_error);
  EXPECT_EQ(good.ttft, Duration(100ms));
  EXPECT_NEAR(*good.tokens_per_s, 50, 1e-9);
  record.path = "/tokenize";
  EXPECT_FALSE(canary_observation(record).counts) << "no reply";
  record.path = "/v1/chat/completions";
  record.status = 400;
  record.streamed = false;
  EXPECT_FALSE(canary_observation(record).counts) << "the client's own fault";
  record.status = 500;
  EXPECT_TRUE(canary_observation(record).is_error);
  EXPECT_TRUE(canary_observation(record).counts);
  record.outcome = gateway::Outcome::kClientGone;
  EXPECT_FALSE(canary_observation(record).counts);
}

}  // namespace
}  // namespace switchyard::http
