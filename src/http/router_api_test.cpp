#include <algorithm>

#include "http/app_fixture.h"
#include "http/downloads.h"

namespace switchyard::http {
namespace {

using testing::AppTest;

class RouterFace : public AppTest {
 protected:
  Json entry(const std::string& id) {
    const Json list = json(ask("GET", "/models"));
    for (const auto& each : list["data"]) {
      if (each["id"] == id) return each;
    }
    return nullptr;
  }
  std::string status(const std::string& id) { return entry(id)["status"]["value"]; }
};

TEST_F(RouterFace, ListsModelsInTheRoutersShape) {
  ASSERT_TRUE(switcher_->define({{"chat", {"b", "1"}}, {"talk", {"a", "1"}}}));
  const Json list = json(ask("GET", "/v1/models"));
  EXPECT_EQ(list["object"], "list");
  ASSERT_EQ(list["data"].size(), 3U);  // a, b, and b's older version
  const Json a = entry("a");
  EXPECT_EQ(a["object"], "model");
  EXPECT_EQ(a["owned_by"], "llamacpp");
  EXPECT_EQ(a["aliases"], Json::array({"talk"}));
  EXPECT_EQ(a["tags"], Json::array());
  EXPECT_EQ(a["source"], "preset");
  EXPECT_EQ(a["can_remove"], false);
  EXPECT_EQ(a["architecture"], (Json{{"input_modalities", {"text"}}, {"output_modalities", {"text"}}}));
  EXPECT_EQ(a["status"]["value"], "unloaded");
  EXPECT_EQ(a["status"]["args"], (Json{"llama-server", "--model", "/m/a1"}));
  EXPECT_EQ(a["status"]["preset"], "[a]\nmodel = /m/a1\n\n");
  EXPECT_FALSE(a["status"].contains("failed"));
  EXPECT_FALSE(a.contains("meta"));
  EXPECT_FALSE(entry("b@1").is_null());
}

TEST_F(RouterFace, StatusFollowsTheStateAndMetaComesWithTheEngine) {
  EXPECT_EQ(json(ask("POST", "/models/load", R"({"model":"a","wait":true})")), (Json{{"success", true}}));
  EXPECT_EQ(status("a"), "loaded");
  EXPECT_EQ(entry("a")["meta"], (Json{{"n_ctx", 64}}));
  const auto again = ask("POST", "/models/load", R"({"model":"a"})");
  EXPECT_EQ(again.status, 400);
  EXPECT_EQ(json(again)["error"]["message"], "model is already running");
  EXPECT_EQ(ask("POST", "/admin/v1/models/a/park").status, 200);
  EXPECT_EQ(status("a"), "sleeping");
  EXPECT_EQ(ask("POST", "/models/unload", R"({"model":"a","wait":true})").status, 200);
  EXPECT_EQ(status("a"), "unloaded");
  const auto gone = ask("POST", "/models/unload", R"({"model":"a"})");
  EXPECT_EQ(gone.status, 400);
  EXPECT_EQ(json(gone)["error"]["message"], "model is not running");
}

TEST_F(RouterFace, AFailedModelIsUnloadedAndSaysSo) {
  loader_.during_load = [] { return Status(fail(ErrorCode::kCorruptFile, "broken")); };
  EXPECT_EQ(ask("POST", "/models/load", R"({"model":"a","wait":true})").status, 422);
  const Json failed = entry("a")["status"];
  EXPECT_EQ(failed["value"], "unloaded");
  EXPECT_EQ(failed["failed"], true);
  EXPECT_EQ(failed["exit_code"], 1);
}

TEST_F(RouterFace, ListenersHearOfEveryLoadThatFails) {
  const auto listener = begin("GET", "/models/sse");
  loader_.during_load = [] { return Status(fail(ErrorCode::kCorruptFile, "broken")); };
  EXPECT_EQ(ask("POST", "/models/load", R"({"model":"a","wait":true})").status, 422);
  listener->wait_for(R"({"data":{"exit_code":1,"status":"unloaded"},"event":"status_change","model":"a"})");
  loader_.during_load = [] { return Status(); };
  load("b");
  EXPECT_EQ(ask("POST", "/admin/v1/models/b/park").status, 200);
  loader_.during_load = [] { return Status(fail(ErrorCode::kInternal, "no memory")); };
  EXPECT_EQ(ask("POST", "/models/load", R"({"model":"b","wait":true})").status, 500);
  listener->wait_for(R"({"data":{"exit_code":1,"status":"sleeping"},"event":"status_change","model":"b"})");
  EXPECT_NE(ask("GET", "/metrics").body.find("switchyard_loads_total{result=\"failed\"} 2"),
            std::string::npos);
}

TEST_F(RouterFace, UnknownNamesAndBadBodiesAreRefused) {
  EXPECT_EQ(ask("POST", "/models/load", R"({"model":"zz"})").status, 404);
  EXPECT_EQ(ask("POST", "/models/unload", R"({"model":"zz"})").status, 400);
  EXPECT_EQ(ask("POST", "/models/load", "[").status, 400);
  EXPECT_EQ(ask("POST", "/models/load", "{}").status, 404);
  EXPECT_EQ(ask("POST", "/models/load", R"({"model":"a","wait":"yes"})").status, 400);
  EXPECT_EQ(status("a"), "unloaded");
  const auto no_download = ask("POST", "/models", R"({"model":"x/y"})");
  EXPECT_EQ(no_download.status, 501);
  EXPECT_EQ(error_type(no_download), "not_supported_error");
  EXPECT_EQ(ask("GET", "/models?reload=1").status, 501);
}

TEST_F(RouterFace, InOneModelModeAnUnknownNameIsTheModelForInferenceOnly) {
  restart({.settings = {.default_model = "a"}, .single_model = true});
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"gpt"})").status, 200);
  EXPECT_EQ(ask("GET", "/slots?model=gpt").status, 200);
  for (const char* path : {"/models/load", "/models/unload"}) {
    EXPECT_EQ(ask("POST", path, R"({"model":"gpt"})").status, 404) << path;
  }
  for (const char* change : {"load", "unload", "park", "resume", "pin", "unpin"}) {
    EXPECT_EQ(ask("POST", std::string("/admin/v1/models/gpt/") + change).status, 404) << change;
  }
  EXPECT_EQ(ask("GET", "/admin/v1/models/gpt").status, 404);
  EXPECT_EQ(manager_->standing({"a", "1"})->state, models::State::kHot);
}

TEST_F(RouterFace, ReloadAsksTheCatalogAndTellsTheListeners) {
  int reloads = 0;
  restart({.reload_catalog = [&] {
    ++reloads;
    return Status();
  }});
  const auto listener = begin("GET", "/models/sse");
  EXPECT_EQ(ask("GET", "/models?reload=1").status, 200);
  EXPECT_EQ(reloads, 1);
  listener->wait_for("data: {\"event\":\"models_reload\",\"model\":\"*\"}\n\n");
}

TEST_F(RouterFace, EventsAreTheRouters) {
  const auto listener = begin("GET", "/models/sse");
  load("a");
  listener->wait_for("\"status\":\"loaded\"");
  EXPECT_EQ(ask("POST", "/models/unload", R"({"model":"a","wait":true})").status, 200);
  listener->wait_for("\"status\":\"unloaded\"");
  app_->begin_shutdown();
  std::vector<Json> events;
  std::string body = listener->answer().body;
  for (auto at = body.find("data: "); at != std::string::npos; at = body.find("data: ", at + 1)) {
    events.push_back(Json::parse(body.substr(at + 6, body.find("\n\n", at) - at - 6)));
  }
  const Json progress = {{"stages", {"text_model", "warmup"}}, {"current", "text_model"}, {"value", 0.5}};
  const std::vector<Json> expected{
      {{"model", "a"}, {"event", "model_status"}, {"data", {{"status", "loading"}}}},
      {{"model", "a"}, {"event", "status_change"}, {"data", {{"status", "loading"}, {"progress", progress}}}},
      {{"model", "a"},
       {"event", "status_change"},
       {"data", {{"status", "loaded"}, {"info", {{"id", "a"}, {"meta", {{"n_ctx", 64}}}}}}}},
      {{"model", "a"}, {"event", "status_change"}, {"data", {{"status", "unloaded"}, {"exit_code", 0}}}}};
  EXPECT_EQ(events, expected);
  EXPECT_TRUE(listener->finished());
}

TEST_F(RouterFace, PropsAreTheRoutersUnlessAModelIsNamed) {
  restart({.settings = {.autoload = false}, .build_info = "b1-abc"});
  const Json props = json(ask("GET", "/props"));
  EXPECT_EQ(props["role"], "router");
  EXPECT_EQ(props["max_instances"], 4);
  EXPECT_EQ(props["models_autoload"], false);
  EXPECT_EQ(props["build_info"], "b1-abc");
  load("a");
  EXPECT_EQ(json(ask("GET", "/props?model=a"))["path"], "/props");
}

TEST_F(RouterFace, LookingAtAModelLoadsAndWakesNothing) {
  const auto look = [&](const std::string& path) { return ask("GET", path + "?model=a&autoload=true"); };
  for (const char* path : {"/metrics", "/props", "/slots"}) {
    EXPECT_EQ(look(path).status, 400) << path;
    EXPECT_EQ(json(look(path))["error"]["message"], "model is not loaded");
  }
  EXPECT_EQ(status("a"), "unloaded");
  load("a");
  EXPECT_EQ(look("/slots").status, 200);
  EXPECT_EQ(ask("POST", "/admin/v1/models/a/park").status, 200);
  for (const char* path : {"/metrics", "/slots"}) EXPECT_EQ(look(path).status, 400) << path;
  const Json asleep{{"is_sleeping", true}, {"model_alias", "a"}};
  EXPECT_EQ(json(look("/props")), asleep) << "as before it was parked";
  EXPECT_EQ(status("a"), "sleeping");
  restart({.settings = {.default_model = "a"}, .single_model = true});
  EXPECT_EQ(json(ask("GET", "/props")), asleep);
  EXPECT_EQ(manager_->standing({"a", "1"})->state, models::State::kParked);
}

TEST_F(RouterFace, OneModelModeHasLlamaServersList) {
  restart({.settings = {.default_model = "a"}, .single_model = true});
  EXPECT_EQ(ask("GET", "/v1/models").status, 503);
  load("a");
  EXPECT_EQ(ask("GET", "/models?reload=1").status, 200);
  Json list = json(ask("GET", "/v1/models"));
  EXPECT_EQ(list["models"][0]["name"], "a");
  EXPECT_GT(list["data"][0]["created"], 0);
  list["data"][0].erase("created");
  EXPECT_EQ(
      list["data"],
      (Json::array({{{"id", "a"}, {"meta", {{"n_ctx", 64}}}, {"aliases", {"a"}}, {"tags", Json::array()}}})));
}

TEST(DownloadTally, TellsAllFilesAndNotTooOften) {
  using namespace std::chrono_literals;
  DownloadTally tally;
  TimePoint now{1h};
  const auto note = [&](const char* url, std::uint64_t downloaded, Duration later = 0ms) {
    return tally.note({.url = url, .downloaded = downloaded, .total = 100}, now += later);
  };
  EXPECT_TRUE(note("a", 0)) << "a file's beginning";
  EXPECT_FALSE(note("a", 10, 99ms));
  EXPECT_TRUE(note("a", 20, 1ms));
  EXPECT_TRUE(note("a", 100)) << "its end";
  EXPECT_TRUE(note("b", 0));
  EXPECT_FALSE(note("b", 30));
  const telemetry::Event event = tally.event();
  EXPECT_EQ(event.numbers.at("downloaded"), 130);
  EXPECT_EQ(event.numbers.at("total"), 200);
  EXPECT_EQ(event.parts.at("a").at("done"), 100);
  EXPECT_EQ(event.parts.at("b").at("done"), 30);
}

TEST_F(RouterFace, DownloadsTellHowFarTheyAreAndCanBeCancelled) {
  std::atomic<bool> cancelled = false;
  restart(
      {.downloads = {
           .check = [](const std::string& repo) -> Status {
             if (repo == "no/where") return fail(ErrorCode::kNotFound, "no such repository");
             return {};
           },
           .download = [&](const std::string&,
                           const std::function<bool(const engine::DownloadProgress&)>& progress) -> Status {
             while (progress({.url = "http://x/f.gguf", .downloaded = 5, .total = 10}))
               std::this_thread::yield();
             cancelled = true;
             return fail(ErrorCode::kCancelled, "cancelled");
           },
           .remove = [](const std::string&) { return Status(); }}});
  const auto listener = begin("GET", "/models/sse");
  EXPECT_EQ(ask("POST", "/models", R"({"model":""})").status, 400);
  EXPECT_EQ(ask("POST", "/models", R"({"model":"no/where"})").status, 400);
  EXPECT_EQ(ask("POST", "/models", R"({"model":"a"})").status, 400);  // is there
  EXPECT_EQ(json(ask("POST", "/models", R"({"model":"x/y"})")), (Json{{"success", true}}));
  listener->wait_for(
      R"({"data":{"progress":{"http://x/f.gguf":{"done":5,"total":10}}},"event":"download_progress","model":"x/y"})");
  EXPECT_EQ(status("x/y"), "downloading");
  for (const auto& [method, path] :
       {std::pair{"POST", "/v1/chat/completions"}, {"POST", "/models/load"}, {"GET", "/props?model=x/y"}}) {
    const auto reply = ask(method, path, R"({"model":"x/y"})");
    EXPECT_EQ(reply.status, 400) << path;
    EXPECT_NE(reply.body.find("it is being downloaded"), std::string::npos) << reply.body;
  }
  EXPECT_EQ(ask("POST", "/models/unload", R"({"model":"x/y"})").status, 200);
  listener->wait_for("download_failed");
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(ask("DELETE", "/models?model=a").status, 400);  // not from the cache
  EXPECT_EQ(ask("DELETE", "/models").status, 400);
}

TEST_F(RouterFace, ControlBodiesAreBoundedInSizeAndDepth) {
  const std::string large = R"({"model":"a","x":")" + std::string(64 << 10, 'y') + R"("})";
  const std::string deep = R"({"model":"a","x":)" + std::string(60'000, '[');
  for (const char* path : {"/models", "/models/load", "/models/unload", "/admin/v1/models/a/load",
                           "/admin/v1/models/a/pin", "/admin/v1/aliases/x/switch"}) {
    const auto refused = ask("POST", path, large);
    EXPECT_EQ(refused.status, 413) << path;
    EXPECT_EQ(json(refused)["error"]["switchyard_code"], "too_large") << path;
    EXPECT_NE(refused.body.find("64 KiB"), std::string::npos) << path;
    EXPECT_EQ(ask("POST", path, deep).status, 400) << path;
  }
  EXPECT_EQ(ask("POST", "/v1/streams/lookup", large).status, 413);
}

TEST_F(RouterFace, AModelIsAString) {
  for (const char* path : {"/models/load", "/models/unload"}) {
    const auto refused = ask("POST", path, R"({"model":["a"]})");
    EXPECT_EQ(refused.status, 400);
    EXPECT_EQ(json(refused)["error"]["message"], "'model' must be a string");
  }
}

}  // namespace
}  // namespace switchyard::http
