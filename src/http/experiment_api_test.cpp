#include <gmock/gmock.h>

#include <map>
#include <semaphore>
#include <string>

#include "http/app_fixture.h"
#include "http/experiment_intake.h"

namespace switchyard::http {
namespace {

using namespace std::chrono_literals;
using testing::AppTest;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ExperimentApiTest : public AppTest {
 protected:
  void SetUp() override {
    AppOptions options;
    options.on_request = [this](const gateway::RequestRecord&) { records_.release(); };
    restart(std::move(options));
  }
  void TearDown() override { app_.reset(); }  // it tells of requests, into what is below

  /// A good definition with `changes` on top.
  static Json definition(const Json& changes = Json::object()) {
    Json body{
        {"id", "x"}, {"alias", "chat"}, {"control", "b@1"}, {"variants", {"b@2"}}, {"metric", "latency"}};
    body.update(changes);
    return body;
  }
  Response begin(const Json& changes = Json::object()) {
    return ask("POST", "/admin/v1/experiments", definition(changes).dump());
  }
  /// Asks alias "chat" for a reply, and waits until that is observed.
  Response chat(const std::string& id, Headers headers = {}) {
    headers["x-request-id"] = id;
    Response reply = ask("POST", "/v1/chat/completions", R"({"model":"chat"})", headers);
    records_.acquire();
    return reply;
  }
  Json report() {
    recorder_.write();
    return json(ask("GET", "/admin/v1/experiments/x/report"));
  }
  static Json row(const Json& report, const std::string& version, const std::string& metric) {
    for (const Json& row : report["rows"])
      if (row["version"] == version && row["metric"] == metric && row["segment"].is_null()) return row;
    return nullptr;
  }

  std::counting_semaphore<> records_{0};
};

TEST_F(ExperimentApiTest, CountsRequestsOfItsAliasByVersion) {
  const Response begun = begin({{"hypothesis", "b@2 is quicker"}, {"guardrails", {"error_rate"}}});
  ASSERT_EQ(begun.status, 201) << begun.body;
  EXPECT_EQ(json(begun)["control"]["weight"], 50);
  EXPECT_EQ(json(begun)["better"], "lower");
  chat("r1");
  chat("r2");
  ASSERT_EQ(ask("POST", "/admin/v1/aliases/chat/switch", R"({"to":"b@2"})").status, 200);
  chat("r3");
  const Json now = report();
  EXPECT_EQ(row(now, "b@1", "latency")["observations"], 2);
  EXPECT_EQ(row(now, "b@2", "latency")["observations"], 1);
  EXPECT_EQ(row(now, "b@2", "error_rate")["mean"], 0);
  EXPECT_EQ(now["verdict"]["decision"], "inconclusive");
  EXPECT_EQ(now["observations"]["written"], 3);
  EXPECT_EQ(now["requests"], 3);
  EXPECT_THAT(ask("GET", "/metrics").body,
              HasSubstr("switchyard_experiment_observations_total{result=\"written\"} 3\n"));
}

TEST_F(ExperimentApiTest, AHeaderOfRequestsCutsTheReportIntoParts) {
  const Response begun = begin({{"segment_by", "header:X-Plan"}});
  ASSERT_EQ(begun.status, 201) << begun.body;
  EXPECT_EQ(json(begun)["segment_by"], "header:X-Plan");
  chat("r1", {{"x-plan", "paid"}});
  chat("r2", {{"x-plan", "free"}});
  chat("r3", {{"x-plan", "free"}});
  chat("r4");
  chat("r5", {{"x-plan", std::string(100, 'l')}});
  const Json now = report();
  std::map<std::string, int> observations;
  for (const Json& each : now["rows"]) {
    if (each["version"] == "b@1" && each["metric"] == "latency" && each["segment"].is_string())
      observations[each["segment"]] = each["observations"];
  }
  const std::map<std::string, int> expected{{"free", 2}, {"paid", 1}, {"none", 1}, {std::string(64, 'l'), 1}};
  EXPECT_EQ(observations, expected);
  EXPECT_EQ(row(now, "b@1", "latency")["observations"], 5);
}

TEST_F(ExperimentApiTest, FeedbackIsJoinedByTheIdOfTheReply) {
  ASSERT_EQ(begin({{"metric", "score"}}).status, 201);
  const Response reply = chat("mine");
  EXPECT_EQ(reply.headers.at("x-request-id"), "mine");
  const Response taken =
      ask("POST", "/v1/feedback", R"({"request_id":"mine","label":"good","converted":true})");
  EXPECT_EQ(taken.status, 202) << taken.body;
  EXPECT_EQ(json(taken)["object"], "feedback");
  const Json now = report();
  EXPECT_EQ(row(now, "b@1", "score")["mean"], 1);
  EXPECT_EQ(row(now, "b@1", "conversion")["observations"], 1);
}

TEST_F(ExperimentApiTest, FeedbackCountsForTheKeyThatAsked) {
  const auto header_of = [&](const char* name, tenants::Scope scope) -> Headers {
    const auto made =
        tenants_.keyring.create({.key_alias = name, .scopes = {scope}}, tenants::AdminKey::kNone);
    return {{"Authorization", "Bearer " + made->key.secret}};
  };
  const Headers admin = header_of("admin", tenants::Scope::kAdmin);
  Headers mine = header_of("mine", tenants::Scope::kInference);
  const Headers others = header_of("other's", tenants::Scope::kInference);
  ASSERT_EQ(ask("POST", "/admin/v1/experiments", definition({{"metric", "score"}}).dump(), admin).status,
            201);
  Headers request = mine;
  request["x-request-id"] = "r";
  ASSERT_EQ(ask("POST", "/v1/chat/completions", R"({"model":"chat"})", request).status, 200);
  records_.acquire();
  const auto observations = [&] {
    recorder_.write();
    return row(json(ask("GET", "/admin/v1/experiments/x/report", {}, admin)), "b@1", "score")["observations"];
  };
  const std::string body = R"({"request_id":"r","score":1})";
  EXPECT_EQ(ask("POST", "/v1/feedback", body, others).status, 202) << "which tells nothing of what there is";
  EXPECT_EQ(observations(), 0);
  const Response taken = ask("POST", "/v1/feedback", body, mine);
  EXPECT_EQ(json(taken)["request_id"], "r");
  EXPECT_EQ(observations(), 1);
}

TEST_F(ExperimentApiTest, FeedbackThatSaysNothingOrTooMuchIsRefused) {
  for (const char* body :
       {"", "{}", R"({"request_id":"r"})", R"({"request_id":"","score":1})",
        R"({"request_id":"r","score":"1"})", R"({"request_id":"r","score":1,"label":"good"})",
        R"({"request_id":"r","label":"gud"})", R"({"request_id":"r","converted":1})",
        R"({"request_id":"r","scor":1})", R"({"request_id":1,"score":1})"}) {
    EXPECT_EQ(ask("POST", "/v1/feedback", body).status, 400) << body;
  }
  EXPECT_THAT(ask("POST", "/v1/feedback", R"({"request_id":"r","label":"gud"})").body, HasSubstr("'good'"));
}

TEST_F(ExperimentApiTest, WhatIsWrongWithADefinitionIsSaid) {
  const auto expect = [&](const Json& changes, int status, const char* words) {
    const Response reply = begin(changes);
    EXPECT_EQ(reply.status, status) << changes;
    EXPECT_THAT(reply.body, HasSubstr(words)) << changes;
  };
  expect({{"metric", "latancy"}}, 400, "did you mean 'latency'");
  expect({{"metric", nullptr}}, 400, "'metric' must be text");
  expect({{"alias", "chatt"}}, 404, "chat");
  expect({{"control", "b@9"}}, 404, "no version '9'");
  expect({{"variants", {"b@2", "b@3"}}}, 404, "no version '3'");
  expect({{"variants", Json::array()}}, 400, "'variants'");
  expect({{"variants", {"b@1"}}}, 400, "b@1 twice");
  expect({{"weights", {{"b@1", 50}, {"b@2", 40}}}}, 400, "must add up to 100, these add up to 90");
  expect({{"weights", {{"b@1", 100}}}}, 400, "'weights'");
  expect({{"weights", {{"b@1", 50}, {"a@1", 50}}}}, 400, "neither control nor variant");
  expect({{"weights", {{"b@1", "50"}, {"b@2", 50}}}}, 400, "must be a number");
  expect({{"guardrails", {"latency"}}}, 400, "primary metric");
  expect({{"guardrails", {{{"metric", "ttft"}, {"tolerence", 1}}}}}, 400, "tolerence");
  expect({{"guardrails", 3}}, 400, "'guardrails'");
  expect({{"minimum_sample", 1.5}}, 400, "whole number");
  expect({{"minimum_sample", 3}}, 400, "20 to");
  expect({{"alpha", 0.9}}, 400, "'alpha'");
  expect({{"better", "more"}}, 400, "'better'");
  expect({{"segment_by", "country"}}, 400, "'segment_by'");
  expect({{"segment_by", "header:"}}, 400, "names no header");
  expect({{"automatic", 1}}, 400, "'automatic'");
  expect({{"id", "a/b"}}, 400, "'id'");
  expect({{"wieghts", 1}}, 400, "wieghts");
  EXPECT_TRUE(json(ask("GET", "/admin/v1/experiments"))["experiments"].empty());
  EXPECT_EQ(chat("r").status, 200) << "routing goes on";
}

TEST_F(ExperimentApiTest, WeightsAreThoseOfTheSplitWhereNoneAreGiven) {
  const char* split = R"({"split":[{"to":"b@1","weight":90},{"to":"b@2","weight":10}]})";
  ASSERT_LT(ask("PUT", "/admin/v1/aliases/both", split).status, 300);
  const Json begun = json(begin({{"alias", "both"}}));
  EXPECT_EQ(begun["control"]["weight"], 90);
  EXPECT_EQ(begun["variants"][0]["weight"], 10);
}

TEST_F(ExperimentApiTest, HasALife) {
  ASSERT_EQ(begin({{"weights", {{"b@1", 90}, {"b@2", 10}}}}).status, 201);
  EXPECT_EQ(begin().status, 409);
  const Json list = json(ask("GET", "/admin/v1/experiments"));
  ASSERT_EQ(list["experiments"].size(), 1U);
  EXPECT_EQ(list["experiments"][0]["control"]["weight"], 90);
  EXPECT_EQ(json(ask("GET", "/admin/v1/experiments/x"))["state"], "running");
  EXPECT_EQ(json(ask("POST", "/admin/v1/experiments/x/stop"))["state"], "stopped");
  EXPECT_EQ(ask("POST", "/admin/v1/experiments/x/stop").status, 409);
  EXPECT_EQ(json(ask("DELETE", "/admin/v1/experiments/x"))["removed"], "x");
  for (const auto& [method, path] :
       {std::pair{"GET", "x"}, {"DELETE", "x"}, {"POST", "x/stop"}, {"GET", "x/report"}})
    EXPECT_EQ(ask(method, std::string("/admin/v1/experiments/") + path).status, 404) << method << path;
}

TEST_F(ExperimentApiTest, ReportsInEachFormat) {
  ASSERT_EQ(begin().status, 201);
  const Response csv = ask("GET", "/admin/v1/experiments/x/report?format=csv");
  EXPECT_EQ(csv.content_type, "text/csv; charset=utf-8");
  EXPECT_THAT(csv.body, StartsWith("experiment,segment,"));
  const Response svg = ask("GET", "/admin/v1/experiments/x/report?format=svg");
  EXPECT_EQ(svg.content_type, "image/svg+xml");
  EXPECT_THAT(svg.body, StartsWith("<svg "));
  EXPECT_EQ(ask("GET", "/admin/v1/experiments/x/report?format=pdf").status, 400);
}

gateway::RequestRecord record() {
  return {.request_id = "r",
          .name = "chat",
          .subject = {},
          .version = {"a", "1"},
          .method = "POST",
          .path = "/v1/chat/completions",
          .status = 200,
          .tokens = {.generated = 10},
          .queued = 1s,
          .first_byte = 2s,
          .total = 6s,
          .streamed = true};
}

TEST(ExperimentIntake, TakesWhatARecordSays) {
  const auto observation = observation_of(record());
  ASSERT_TRUE(observation);
  EXPECT_EQ(observation->version, "a@1");
  EXPECT_EQ(observation->latency, 6);
  EXPECT_EQ(observation->first_token, 1);
  EXPECT_EQ(observation->tokens_per_second, 2);
  EXPECT_EQ(observation->failed, false);
}

TEST(ExperimentIntake, OnlyGoodRepliesHaveTimesAndOnlyTheServersFaultsAreFailures) {
  gateway::RequestRecord broken = record();
  broken.status = 503;
  broken.outcome = gateway::Outcome::kFailed;
  EXPECT_EQ(observation_of(broken)->failed, true);
  EXPECT_FALSE(observation_of(broken)->latency);
  gateway::RequestRecord cut = record();
  cut.outcome = gateway::Outcome::kFailed;
  EXPECT_EQ(observation_of(cut)->failed, true);
  gateway::RequestRecord left = record();
  left.outcome = gateway::Outcome::kClientGone;
  EXPECT_FALSE(observation_of(left)->failed);
  EXPECT_FALSE(observation_of(left)->latency);
  gateway::RequestRecord wrong = record();
  wrong.status = 400;
  EXPECT_FALSE(observation_of(wrong)->failed);
}

TEST(ExperimentIntake, AStandInsReplyIsAFailureOfWhatWasWanted) {
  gateway::RequestRecord other = record();
  other.failed = {{"b", "2"}};
  EXPECT_EQ(observation_of(other)->version, "b@2");
  EXPECT_EQ(observation_of(other)->failed, true);
  EXPECT_FALSE(observation_of(other)->latency);
}

TEST(ExperimentIntake, LeavesOutWhatNoModelAnswers) {
  for (const char* path : {"/tokenize", "/v1/messages/count_tokens", "/slots/3", "/props"}) {
    gateway::RequestRecord other = record();
    other.path = path;
    EXPECT_FALSE(observation_of(other)) << path;
  }
}

}  // namespace
}  // namespace switchyard::http
