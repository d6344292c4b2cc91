#include <cpp-httplib/httplib.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <nlohmann/json.hpp>
#include <thread>

#include "webhook/body.h"
#include "webhook/http_post.h"
#include "webhook/sender.h"
#include "webhook/signature.h"

namespace switchyard::webhook {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

alerts::Notice firing() {
  return {.alert = {.rule = alerts::Rule::kInferenceLatency,
                    .model = "smollm2",
                    .phase = alerts::Phase::kFiring,
                    .value = 1.5,
                    .threshold = 1},
          .since = alerts::WallTime(60s),
          .fired = alerts::WallTime(120s)};
}

TEST(NotificationBody, HasAlertmanagersShape) {
  const auto body = nlohmann::json::parse(notification_body(firing()));
  EXPECT_EQ(body["version"], "4");
  EXPECT_EQ(body["status"], "firing");
  EXPECT_EQ(body["receiver"], "switchyard");
  EXPECT_EQ(body["groupLabels"], (nlohmann::json{{"alertname", "inference_latency"}}));
  for (const char* key : {"groupKey", "truncatedAlerts", "commonLabels", "commonAnnotations", "externalURL"})
    EXPECT_TRUE(body.contains(key)) << key;
  ASSERT_EQ(body["alerts"].size(), 1U);
  const auto& alert = body["alerts"][0];
  EXPECT_EQ(alert["status"], "firing");
  EXPECT_EQ(
      alert["labels"],
      (nlohmann::json{{"alertname", "inference_latency"}, {"model", "smollm2"}, {"severity", "warning"}}));
  EXPECT_EQ(alert["annotations"]["value"], "1.5");
  EXPECT_EQ(alert["startsAt"], "1970-01-01T00:02:00.000Z");
  EXPECT_EQ(alert["endsAt"], "0001-01-01T00:00:00Z");
}

TEST(NotificationBody, OfAResolvedOneSaysWhen) {
  alerts::Notice notice = firing();
  notice.alert.phase = alerts::Phase::kResolved;
  notice.resolved = alerts::WallTime(180s);
  const auto body = nlohmann::json::parse(notification_body(notice));
  EXPECT_EQ(body["status"], "resolved");
  EXPECT_EQ(body["alerts"][0]["endsAt"], "1970-01-01T00:03:00.000Z");
  EXPECT_EQ(body["alerts"][0]["fingerprint"],
            nlohmann::json::parse(notification_body(firing()))["alerts"][0]["fingerprint"]);
}

TEST(Signatures, AreHmacSha256) {
  // RFC 4231, test case 2.
  EXPECT_EQ(signature("Jefe", "what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Retries, BackOffAndEnd) {
  const RetryPolicy policy{.retries = 7, .first_pause = 1s};
  const Result<int> none = fail(ErrorCode::kUnavailable, "no answer");
  EXPECT_EQ(retry_after(none, 1, policy), 1s);
  EXPECT_EQ(retry_after(500, 2, policy), 2s);
  EXPECT_EQ(retry_after(429, 5, policy), 16s);
  EXPECT_EQ(retry_after(408, 6, policy), 30s);
  EXPECT_EQ(retry_after(none, 8, policy), std::nullopt);
  EXPECT_EQ(retry_after(404, 1, policy), std::nullopt) << "asking again would not help";
  EXPECT_EQ(retry_after(none, 1, {.retries = 0}), std::nullopt);
}

/// Answers what it is told, and keeps what it was sent.
class FakePost final : public Post {
 public:
  struct Log {
    std::mutex mutex;
    std::vector<std::string> bodies;
    std::vector<Headers> headers;
    std::vector<int> answers;  ///< in this order, then 200; 0: none
  };
  explicit FakePost(Log& log, std::latch* let = nullptr, std::latch* began = nullptr)
      : log_(log), let_(let), began_(began) {}
  Result<int> post(const Headers& headers, const std::string& body) override {
    if (began_ != nullptr && !began_->try_wait()) began_->count_down();
    if (let_ != nullptr) let_->wait();
    const std::scoped_lock lock(log_.mutex);
    log_.bodies.push_back(body);
    log_.headers.push_back(headers);
    int answer = 200;
    if (!log_.answers.empty()) {
      answer = log_.answers.front();
      log_.answers.erase(log_.answers.begin());
    }
    if (answer == 0) return fail(ErrorCode::kUnavailable, "nobody is there");
    return answer;
  }
  void cancel() override {}

 private:
  Log& log_;
  std::latch* const let_;
  std::latch* const began_;
};

TEST(Senders, TryAgainInOrderUntilItIsTaken) {
  FakePost::Log log;
  log.answers = {0, 503, 204};
  Sender sender(std::make_unique<FakePost>(log), {.secret = "k", .retry = {.first_pause = 0s}});
  sender.send("one");
  sender.send("two");
  sender.wait_idle();
  EXPECT_THAT(log.bodies, ElementsAre("one", "one", "one", "two"));
  EXPECT_EQ(log.headers[0], log.headers[2]) << "the same delivery";
  EXPECT_NE(log.headers[2].at("X-Switchyard-Delivery"), log.headers[3].at("X-Switchyard-Delivery"));
  EXPECT_EQ(log.headers[0].at("X-Switchyard-Signature"), signature("k", "one"));
  EXPECT_EQ(sender.stats().sent, 2U);
}

TEST(Senders, GiveUpAndGoOnWithTheNext) {
  FakePost::Log log;
  log.answers = {500, 500, 500, 400};
  Sender sender(std::make_unique<FakePost>(log), {.retry = {.retries = 2, .first_pause = 0s}});
  for (const char* body : {"one", "two", "three"}) sender.send(body);
  sender.wait_idle();
  EXPECT_THAT(log.bodies, ElementsAre("one", "one", "one", "two", "three"));
  EXPECT_FALSE(log.headers[0].contains("X-Switchyard-Signature")) << "there is no secret";
  EXPECT_EQ(sender.stats().failed, 2U);
  EXPECT_EQ(sender.stats().sent, 1U);
}

TEST(Senders, NeverBlockAndCountWhatIsLost) {
  FakePost::Log log;
  std::latch let(1), began(1);
  Sender sender(std::make_unique<FakePost>(log, &let, &began), {.most_queued = 2});
  sender.send("one");
  began.wait();
  sender.send("two");
  sender.send("three");
  EXPECT_EQ(sender.stats().dropped, 1U);
  EXPECT_EQ(sender.stats().queued, 2U);
  let.count_down();
  sender.wait_idle();
  EXPECT_THAT(log.bodies, ElementsAre("one", "two"));
}

TEST(Senders, EndWithoutWaitingForTheNextAttempt) {
  FakePost::Log log;
  log.answers = {500};
  std::latch let(0), began(1);
  {
    Sender sender(std::make_unique<FakePost>(log, &let, &began), {.retry = {.first_pause = 24h}});
    sender.send("one");
    began.wait();
  }
  EXPECT_LE(log.bodies.size(), 1U);
}

TEST(HttpPosts, SendHeadersAndBodyToThePath) {
  httplib::Server server;
  std::string seen;
  server.Post("/hook/x", [&](const httplib::Request& request, httplib::Response& reply) {
    seen = request.get_header_value("X-Test") + " " + request.get_header_value("Content-Type") + " " +
           request.body;
    reply.status = 202;
  });
  const int port = server.bind_to_any_port("127.0.0.1");
  std::thread thread([&] { server.listen_after_bind(); });
  const std::string address = "http://127.0.0.1:" + std::to_string(port);
  EXPECT_EQ(make_http_post(address + "/hook/x", 20s)->post({{"X-Test", "1"}}, "{}"), 202);
  EXPECT_EQ(seen, "1 application/json {}");
  EXPECT_EQ(make_http_post(address, 20s)->post({}, "{}"), 404);
  server.stop();
  thread.join();
  EXPECT_EQ(make_http_post(address, 20s)->post({}, "{}").error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace switchyard::webhook
