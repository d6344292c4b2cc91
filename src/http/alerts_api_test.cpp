#include <gmock/gmock.h>

#include "http/app_fixture.h"

namespace switchyard::http {
namespace {

using namespace std::chrono_literals;
using testing::AppTest;
using ::testing::HasSubstr;
using ::testing::Not;

class AlertsApiTest : public AppTest {
 protected:
  void SetUp() override {
    AppOptions options;
    options.alerts = [this] { return report_; };
    restart(std::move(options));
  }
  alerts::Report report_;
};

TEST_F(AlertsApiTest, ShowsAlertsAndRules) {
  report_.alerts = {{.alert = {.rule = alerts::Rule::kInferenceLatency,
                               .model = "a",
                               .phase = alerts::Phase::kFiring,
                               .value = 1.5,
                               .threshold = 1},
                     .since = alerts::WallTime(60s),
                     .fired = alerts::WallTime(120s)}};
  report_.delivery = alerts::Delivery{.sent = 3};
  const Json reply = json(ask("GET", "/admin/v1/alerts"));
  ASSERT_EQ(reply["alerts"].size(), 1U);
  const Json& alert = reply["alerts"][0];
  EXPECT_EQ(alert["rule"], "inference_latency");
  EXPECT_EQ(alert["model"], "a");
  EXPECT_EQ(alert["state"], "firing");
  EXPECT_EQ(alert["value"], 1.5);
  EXPECT_EQ(alert["since"], "1970-01-01T00:01:00.000Z");
  EXPECT_EQ(alert["resolved_at"], nullptr);
  EXPECT_EQ(reply["rules"].size(), alerts::kRuleCount);
  EXPECT_EQ(reply["rules"][0]["threshold"], 10);
  EXPECT_EQ(reply["webhook"]["sent"], 3);
}

TEST_F(AlertsApiTest, TheMetricsHaveTheirState) {
  report_.alerts = {
      {.alert = {.rule = alerts::Rule::kErrorRate, .model = "a", .phase = alerts::Phase::kPending}},
      {.alert = {.rule = alerts::Rule::kMemory, .phase = alerts::Phase::kFiring}},
      {.alert = {.rule = alerts::Rule::kErrorRate, .model = "b", .phase = alerts::Phase::kResolved}}};
  report_.readings = {{.rule = alerts::Rule::kMemory, .value = 0.9}};
  report_.delivery = alerts::Delivery{.dropped = 2};
  const std::string text = ask("GET", "/metrics").body;
  EXPECT_THAT(text, HasSubstr("switchyard_alert_state{model=\"a\",rule=\"error_rate\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_alert_state{rule=\"memory\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_alert_state{rule=\"switch_success\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("model=\"b\",rule=\"error_rate\"")));
  EXPECT_THAT(text, HasSubstr("switchyard_alert_value{rule=\"memory\"} 0.9\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_webhook_notifications_total{result=\"dropped\"} 2\n"));
}

TEST_F(AlertsApiTest, RequestsAreCountedWithTheirTimesAndErrors) {
  std::latch records(3);
  AppOptions options;
  options.on_request = [&](const gateway::RequestRecord&) { records.count_down(); };
  restart(std::move(options));
  answer_ = [](engine::Request& request) {
    if (request.path == "/completions") return gateway::testing::Script{.pieces = {"data: x\n\n"}};
    return gateway::testing::Script{.status = request.path == "/tokenize" ? 500 : 400, .body = "{}"};
  };
  for (const char* path : {"/completions", "/tokenize", "/detokenize"}) ask("POST", path, R"({"model":"a"})");
  records.wait();
  const std::string text = ask("GET", "/metrics").body;
  EXPECT_THAT(text, HasSubstr("switchyard_time_to_first_token_seconds_count{model=\"a\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_queue_wait_seconds_count{model=\"a\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_request_errors_total{model=\"a\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("switchyard_switches_total{result=\"failed\"} 0\n"))
      << "so that increases show";
}

}  // namespace
}  // namespace switchyard::http
