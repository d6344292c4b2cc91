#include "http/app_fixture.h"

namespace switchyard::http {
namespace {

using testing::AppTest;

/// chat points at b@1, lazily.
class Aliases : public AppTest {
 protected:
  Json get(const std::string& path) { return json(ask("GET", "/admin/v1/aliases" + path)); }
  Response post(const std::string& path, const std::string& body = {}) {
    return ask("POST", "/admin/v1/aliases/" + path, body);
  }
  Response put(const std::string& alias, const std::string& body) {
    return ask("PUT", "/admin/v1/aliases/" + alias, body);
  }
};

TEST_F(Aliases, AreListedAndDescribed) {
  const Json list = get("");
  ASSERT_EQ(list["aliases"].size(), 1U);
  EXPECT_EQ(list["aliases"][0]["name"], "chat");
  EXPECT_EQ(list["aliases"][0]["to"], "b@1");
  EXPECT_EQ(list["aliases"][0]["defined"], "b@1");
  const Json model = get("/b");
  EXPECT_EQ(model["kind"], "model");
  EXPECT_EQ(model["to"], "b@2");
  EXPECT_EQ(model["labels"], (Json{{"latest", "b@2"}, {"stable", "b@2"}, {"previous", nullptr}}));
  EXPECT_EQ(ask("GET", "/admin/v1/aliases/nope").status, 404);
  EXPECT_EQ(ask("GET", "/admin/v1/aliases/chat?history=x").status, 400);
}

TEST_F(Aliases, ASwitchSaysHowItWentAndIsCounted) {
  load("b@1");
  const Json done = json(post("chat/switch", R"({"to":"a","why":"newer"})"));
  EXPECT_EQ(done["outcome"], "ok");
  EXPECT_EQ(done["from"], "b@1");
  EXPECT_EQ(done["serving"], "a@1");
  EXPECT_GE(done["phases"].size(), 3U);
  EXPECT_TRUE(done["error"].is_null());
  const Json chat = get("/chat");
  EXPECT_EQ(chat["to"], "a@1");
  EXPECT_EQ(chat["previous"], Json::array({"b@1"}));
  EXPECT_EQ(chat["history"][0]["why"], "newer");
  EXPECT_EQ(json(post("chat/rollback"))["serving"], "b@1");
  EXPECT_EQ(post("chat/rollback").status, 409);
  const std::string text = ask("GET", "/metrics").body;
  EXPECT_NE(text.find("switchyard_switches_total{result=\"ok\"} 2"), std::string::npos) << text;
}

TEST_F(Aliases, AnErrorSaysThePhaseAndWhoServes) {
  loader_.during_load = [] { return Status(fail(ErrorCode::kInternal, "broken")); };
  const auto reply = post("chat/switch", R"({"to":"a"})");
  EXPECT_EQ(reply.status, 500);
  const Json error = json(reply)["error"];
  EXPECT_EQ(error["phase"], "load");
  EXPECT_EQ(error["outcome"], "failed");
  EXPECT_EQ(error["serving"], "b@1");
  EXPECT_EQ(json(reply)["switch"]["outcome"], "failed");
  const std::string text = ask("GET", "/metrics").body;
  EXPECT_NE(text.find("switchyard_switches_total{result=\"failed\"} 1"), std::string::npos) << text;
}

TEST_F(Aliases, PutMakesOneOrMovesIt) {
  const auto made = put("fresh", R"({"to":"a"})");
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(put("fresh", R"({"to":"b@1"})").status, 200);
  EXPECT_EQ(get("/fresh")["to"], "b@1");
  EXPECT_EQ(put("b", R"({"to":"b@1"})").status, 200) << "a model's own name";
  EXPECT_EQ(put("b", R"({"to":"a"})").status, 400);
  EXPECT_EQ(put("x%40y", R"({"to":"a"})").status, 400);
  EXPECT_EQ(ask("DELETE", "/admin/v1/aliases/fresh").status, 200);
  EXPECT_EQ(ask("DELETE", "/admin/v1/aliases/fresh").status, 404);
  EXPECT_EQ(ask("DELETE", "/admin/v1/aliases/b").status, 409);
}

TEST_F(Aliases, WithoutWaitingItIsAnsweredWhenItHasBegun) {
  hold_loads();
  const auto begun = post("chat/switch", R"({"to":"a","wait":false})");
  EXPECT_EQ(begun.status, 202);
  EXPECT_EQ(json(begun)["outcome"], "running");
  EXPECT_EQ(get("/chat")["switch"]["to"], "a@1");
  EXPECT_EQ(post("nobody/switch", R"({"to":"a","wait":false})").status, 404);
  EXPECT_EQ(ask("DELETE", "/admin/v1/aliases/chat/switch").status, 200);
  EXPECT_EQ(ask("DELETE", "/admin/v1/aliases/chat/switch").status, 409);
  let_load_.count_down();
  EXPECT_EQ(get("/chat")["history"][0]["outcome"], "cancelled");
}

TEST_F(Aliases, ACancelledOrSupersededSwitchIsAConflict) {
  hold_loads();
  const auto first = begin("POST", "/admin/v1/aliases/chat/switch", R"({"to":"a"})");
  load_began_.wait();
  const auto second = begin("POST", "/admin/v1/aliases/chat/switch", R"({"to":"b@2"})");
  const auto reply = first->answer();
  EXPECT_EQ(reply.status, 409);
  EXPECT_EQ(json(reply)["error"]["outcome"], "superseded");
  let_load_.count_down();
  EXPECT_EQ(second->answer().status, 200);
}

TEST_F(Aliases, ADryRunChangesNothing) {
  const Json plan = json(post("chat/switch", R"({"to":"a","dry_run":true})"));
  EXPECT_EQ(plan["possible"], true);
  EXPECT_EQ(plan["to"], "a@1");
  EXPECT_EQ(plan["loads"], true);
  EXPECT_GT(plan["needs_bytes"], 0);
  EXPECT_EQ(get("/chat")["history"].size(), 0U);
  EXPECT_EQ(post("chat/rollback", R"({"dry_run":true})").status, 409);
}

TEST_F(Aliases, BodiesAreChecked) {
  for (const char* body :
       {"", "[]", R"({"to":7})", R"({"to":""})", R"({"to":"a","policy":"x"})", R"({"to":"a","keep_old":"x"})",
        R"({"to":"a","drain_timeout":"soon"})", R"({"to":"a","drain_timeout":-1})", R"({"to":"a","force":1})",
        R"({"to":"a","wiat":true})", R"({"to":"a","policy":"resource_preserving","keep_old":"hot"})"}) {
    EXPECT_EQ(post("chat/switch", body).status, 400) << body;
  }
  EXPECT_EQ(post("chat/switch", R"({"to":"b@2","drain_timeout":"1m30s"})").status, 200);
  EXPECT_EQ(post("chat/switch", R"({"to":"b@1","drain_timeout":0.5})").status, 200);
}

TEST_F(Aliases, AHeldRequestIsAnsweredByTheNewVersion) {
  load("b@1");
  hold_loads();
  const auto switched =
      begin("POST", "/admin/v1/aliases/chat/switch", R"({"to":"a","policy":"resource_preserving"})");
  load_began_.wait();
  const auto held = begin("POST", "/tokenize", R"({"model":"chat"})");
  EXPECT_FALSE(held->over());
  const auto gone = begin("POST", "/tokenize", R"({"model":"chat"})");
  gone->leave();
  EXPECT_EQ(gone->answer().status, 503);
  let_load_.count_down();
  const auto reply = held->answer();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("x-switchyard-version"), "a@1");
  EXPECT_EQ(switched->answer().status, 200);
}

TEST_F(Aliases, ARequestThatASwitchHoldsIsRefusedAtTheEnd) {
  load("b@1");
  hold_loads();
  const auto switched =
      begin("POST", "/admin/v1/aliases/chat/switch", R"({"to":"a","policy":"resource_preserving"})");
  load_began_.wait();
  const auto held = begin("POST", "/tokenize", R"({"model":"chat"})");
  app_->begin_shutdown();
  EXPECT_FALSE(held->over());
  app_->stop_requests();
  EXPECT_EQ(held->answer().status, 503);
  let_load_.count_down();
  EXPECT_EQ(switched->answer().status, 200);
}

}  // namespace
}  // namespace switchyard::http
