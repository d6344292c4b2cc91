#include "http/app_fixture.h"

namespace switchyard::http {
namespace {

using testing::AppTest;

class Admin : public AppTest {};

TEST_F(Admin, DescribesModelsAndVersions) {
  const Json fleet = json(ask("GET", "/admin/v1/models"));
  ASSERT_EQ(fleet["models"].size(), 2U);
  EXPECT_EQ(fleet["limits"]["models_max"], 4);
  load("b");
  const Json model = json(ask("GET", "/admin/v1/models/b"));
  EXPECT_EQ(model["versions"][1]["state"], "hot");
  EXPECT_EQ(model["versions"][1]["n_ctx"], 64);
  EXPECT_EQ(model["versions"][1]["predicted_bytes"][0]["weights_mapped"], 1 << 20);
  const Json version = json(ask("GET", "/admin/v1/models/b%401"));
  EXPECT_EQ(version["id"], "b@1");
  EXPECT_EQ(version["state"], "cold");
  EXPECT_EQ(ask("GET", "/admin/v1/models/zz").status, 404);
}

TEST_F(Admin, MovesAVersionThroughItsLife) {
  const std::pair<const char*, const char*> steps[] = {{"load", "hot"},   {"park", "parked"},
                                                       {"resume", "hot"}, {"pin", "hot"},
                                                       {"unpin", "hot"},  {"unload", "cold"}};
  for (const auto& [action, state] : steps) {
    const auto reply = ask("POST", std::string("/admin/v1/models/a/") + action);
    EXPECT_EQ(reply.status, 200) << action << reply.body;
    EXPECT_EQ(json(reply)["state"], state) << action;
  }
  EXPECT_EQ(ask("POST", "/admin/v1/models/a/resume").status, 409);
}

TEST_F(Admin, BeginsWithoutWaitingWhenToldSo) {
  hold_loads();
  const auto reply = ask("POST", "/admin/v1/models/a/load", R"({"wait":false})");
  EXPECT_EQ(reply.status, 202);
  let_load_.count_down();
}

TEST_F(Admin, RefusesBodiesThatItDoesNotUnderstand) {
  for (const char* body : {"[]", "{", R"({"wait":1})", R"({"wiat":true})"}) {
    for (const char* what : {"a/load", "a/pin", "no-such-model/unload"}) {
      EXPECT_EQ(ask("POST", std::string("/admin/v1/models/") + what, body).status, 400) << what << body;
    }
  }
  EXPECT_EQ(ask("POST", "/admin/v1/config/reload").status, 501);
}

TEST_F(Admin, EventsHaveIdTypeAndData) {
  const auto all = begin("GET", "/admin/v1/events");
  const auto only_b = begin("GET", "/admin/v1/events?model=b");
  load("a");
  load("b");
  only_b->wait_for("\"to\":\"hot\"");
  all->wait_for("\"model\":\"b\"");
  app_->begin_shutdown();
  EXPECT_EQ(only_b->answer().body.find("\"model\":\"a\""), std::string::npos);
  const std::string body = all->answer().body;
  EXPECT_NE(body.find("id: "), std::string::npos);
  EXPECT_NE(body.find("event: state\ndata: {"), std::string::npos);
  EXPECT_NE(body.find("\"model\":\"a\""), std::string::npos);
}

TEST_F(Admin, ASlowListenerDoesNotHoldUpTheOthers) {
  auto slow = std::make_shared<testing::FakeExchange>(testing::request_for("GET", "/admin/v1/events"));
  slow->read_slowly(true);
  app_->handler()(slow);
  slow->wait_until_paused();
  const auto quick = begin("GET", "/admin/v1/events");
  load("a");
  quick->wait_for("\"to\":\"hot\"");
  slow->read_slowly(false);
  slow->wait_for("\"to\":\"hot\"");
}

TEST_F(Admin, ReloadAnswersWithWhatChanged) {
  bool good = true;
  restart({.reload_config = [&]() -> Result<std::string> {
    if (!good) return fail(ErrorCode::kInvalidArgument, "c.yaml:3: unknown key");
    return std::string(R"({"added":["x"]})");
  }});
  EXPECT_EQ(json(ask("POST", "/admin/v1/config/reload"))["added"][0], "x");
  good = false;
  EXPECT_EQ(ask("POST", "/admin/v1/config/reload").status, 400);
}

TEST_F(Admin, MetricsComeFromSamplesAndKeepGrowingOverReloads) {
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"a"})").status, 200);
  EXPECT_EQ(ask("POST", "/models/unload", R"({"model":"a","wait":true})").status, 200);
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"a"})").status, 200);
  // The lease is given back, and the counters read, just after the answer.
  while (app_->in_flight() != 0) std::this_thread::yield();
  const auto reply = ask("GET", "/metrics");
  EXPECT_EQ(reply.content_type, "text/plain; version=0.0.4");
  for (const char* line :
       {"# TYPE llamacpp:prompt_tokens_total counter", "llamacpp:prompt_tokens_total{model=\"a\"} 20",
        "switchyard_model_state{model=\"a\",state=\"hot\"} 1",
        "switchyard_model_state{model=\"b@1\",state=\"cold\"} 1", "switchyard_leases{model=\"a\"} 0",
        "switchyard_requests_total{model=\"a\",status=\"200\"} 2",
        "switchyard_queue_wait_seconds_count{model=\"a\"} 2",
        "switchyard_load_seconds_count{from=\"cold\",model=\"a\"} 2", "switchyard_build_info{"}) {
    EXPECT_NE(reply.body.find(line), std::string::npos) << line << "\n" << reply.body;
  }
  EXPECT_EQ(json(ask("GET", "/metrics?model=a"))["path"], "/metrics");
}

TEST_F(Admin, AThousandModelsAreListedQuicklyEnoughToBeMadeOnTheLoopThread) {
  std::vector<models::ModelDefinition> many;
  for (int i = 0; i < 1000; ++i) many.push_back(gateway::testing::model_called("model-" + std::to_string(i)));
  ASSERT_TRUE(manager_->set_catalog(many, models::Manager::Preload::kNone));
  EXPECT_EQ(json(ask("GET", "/v1/models"))["data"].size(), 1000U);
}

}  // namespace
}  // namespace switchyard::http
