#include <cpp-httplib/httplib.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "cli/alert_table.h"
#include "cli/chat.h"
#include "cli/client.h"
#include "cli/experiment_tables.h"
#include "cli/file_watch.h"
#include "cli/load_log.h"
#include "cli/load_progress.h"
#include "cli/model_tables.h"
#include "cli/paired.h"
#include "cli/program.h"
#include "cli/reload.h"
#include "cli/serve_flags.h"
#include "cli/terminal.h"

namespace switchyard::cli {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(LoadLog, SaysThatALoadBeginsGoesOnAndHowItEnded) {
  FakeClock clock;
  telemetry::EventBus events;
  std::vector<std::string> lines;
  const LoadLog log(events, [&](const std::string& line) { lines.push_back(line); }, clock);
  const auto publish = [&](const std::string& type, std::map<std::string, std::string> text,
                           std::map<std::string, double> numbers) {
    events.publish({.id = 0,
                    .at = {},
                    .type = type,
                    .model = "m",
                    .version = "1",
                    .text = std::move(text),
                    .numbers = std::move(numbers),
                    .parts = {}});
  };
  publish("load_progress", {{"stage", "text_model"}}, {{"progress", 0.1}});  // of nothing that loads
  publish("state", {{"to", "loading"}, {"cause", "request"}}, {});
  clock.advance(1s);
  publish("load_progress", {{"stage", "text_model"}}, {{"progress", 0.2}});
  clock.advance(1s);
  publish("load_progress", {{"stage", "text_model"}}, {{"progress", 0.45}});
  publish("state", {{"to", "warming"}}, {});
  publish("state",
          {{"to", "hot"},
           {"origin", "cold"},
           {"n_ctx_chosen_by", " (the most that the budget admits)"},
           {"n_gpu_layers", "12"}},
          {{"n_ctx", 4096}, {"n_ctx_train", 8192}, {"n_layers", 30}});
  publish("state", {{"to", "hot"}, {"origin", "parked"}}, {});
  publish("state", {{"to", "hot"}, {"origin", "cold"}, {"n_gpu_layers", "31"}},
          {{"n_ctx", 4096}, {"n_ctx_train", 8192}, {"n_layers", 30}});
  EXPECT_THAT(lines,
              ElementsAre("m@1 is loading (request)", "m@1 is loading: 45 % of text_model",
                          "m@1 has a context of 4096 of 8192 tokens (the most that the budget admits), "
                          "12 of 30 layers on the GPU",
                          "m@1 has a context of 4096 of 8192 tokens, 30 of 30 layers on the GPU"));
}

TEST(ServeFlags, OwnFlagsAndLlamaServersTogether) {
  const std::vector<std::string> words = {"--models-dir", "/m",       "--memory-budget=2GiB",
                                          "-c",           "4096",     "--shutdown-timeout",
                                          "5s",           "--config", "x.yaml",
                                          "--no-webui"};
  const auto flags = parse_serve_flags(words);
  ASSERT_TRUE(flags) << flags.error().to_string();
  EXPECT_EQ(flags->sources.own.memory_budget, ByteSize::gib(2));
  EXPECT_EQ(flags->sources.own.shutdown_timeout, 5s);
  EXPECT_EQ(flags->sources.own.config_path, "x.yaml");
  EXPECT_EQ(flags->sources.command_line.at("ctx-size"), "4096");
  EXPECT_EQ(flags->sources.command_line.at("models-dir"), "/m");
  EXPECT_EQ(flags->sources.command_line.at("webui"), "false");
}

TEST(ServeFlags, Faults) {
  const auto error = [](std::vector<std::string> words) {
    const auto flags = parse_serve_flags(words);
    return flags ? std::string("none") : flags.error().message;
  };
  EXPECT_THAT(error({"--memory-budgte", "1G"}),
              HasSubstr("unknown option '--memory-budgte'; did you mean '--memory-budget'"));
  EXPECT_THAT(error({"--ctx-sise=1"}), HasSubstr("unknown option '--ctx-sise'; did you mean '--ctx-size'"));
  // An option of presets only is none here, and no suggestion either.
  EXPECT_EQ(error({"--load-on-startup"}), "unknown option '--load-on-startup'");
  EXPECT_THAT(error({"--load-on-startu"}), testing::Not(HasSubstr("load-on-startup")));
  EXPECT_THAT(error({"--memory-budget"}), HasSubstr("needs a value"));
  EXPECT_THAT(error({"--memory-budget", "lots"}), HasSubstr("--memory-budget: "));
  EXPECT_THAT(error({"--memory-budget", "0"}), HasSubstr("above 0"));
  EXPECT_THAT(error({"--shutdown-timeout", "5"}), HasSubstr("no length of time"));
  EXPECT_THAT(error({"model.gguf"}), HasSubstr("is no option"));
  EXPECT_EQ(parse_serve_flags(std::vector<std::string>{"--nonsense", "-h"})->help, ServeFlags::Help::kOwn);
}

TEST(ServeFlags, VertexIsRefused) {
  const std::vector<std::string> words{"--models-dir", "/m"};
  setenv("AIP_MODE", "PREDICTION", 1);
  const auto refused = parse_serve_flags(words);
  setenv("AIP_MODE", "TRAINING", 1);
  const auto taken = parse_serve_flags(words);
  unsetenv("AIP_MODE");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnimplemented);
  EXPECT_THAT(refused.error().message, HasSubstr("unset AIP_MODE"));
  EXPECT_TRUE(taken);
}

TEST(Client, PercentEncoding) {
  EXPECT_EQ(percent_encode("a-b_c.d~e"), "a-b_c.d~e");
  EXPECT_EQ(percent_encode("user/name:Q4 @1"), "user%2Fname%3AQ4%20%401");
}

TEST(Client, EventsInPiecesOfAnySize) {
  const std::string text = ": hello\r\nid: 1\nevent: x\ndata: one\r\n\ndata:two\n\ndata: three";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    SseReader reader;
    std::vector<std::string> seen;
    for (std::size_t at = 0; at < text.size(); at += size) {
      reader.feed(std::string_view(text).substr(at, size), [&](const std::string& data) {
        seen.push_back(data);
        return true;
      });
    }
    EXPECT_THAT(seen, ElementsAre("one", "two")) << size;
  }
  SseReader reader;
  EXPECT_FALSE(reader.feed("data: a\ndata: b\n", [](const std::string& data) { return data != "a"; }));
}

TEST(Client, ErrorsOfTheServer) {
  const Error error =
      error_of_reply(404, R"({"error":{"code":404,"message":"no model 'x'","type":"not_found"}})");
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_EQ(error.message, "no model 'x'");
  EXPECT_THAT(error_of_reply(502, "<html>").message, HasSubstr("status 502"));
  const auto code = [](int status, const std::string& name) {
    return error_of_reply(status, R"({"error":{"message":"m","switchyard_code":")" + name + R"("}})").code;
  };
  EXPECT_EQ(code(422, "corrupt_file"), ErrorCode::kCorruptFile);
  EXPECT_EQ(code(422, "unsupported_architecture"), ErrorCode::kUnsupportedArchitecture);
  EXPECT_EQ(code(503, "cancelled"), ErrorCode::kCancelled);
  for (const auto& [status, expected] :
       {std::pair{409, ErrorCode::kConflict}, std::pair{413, ErrorCode::kTooLarge},
        std::pair{501, ErrorCode::kUnimplemented}, std::pair{504, ErrorCode::kTimeout},
        std::pair{507, ErrorCode::kDoesNotFit}, std::pair{418, ErrorCode::kInternal}}) {
    EXPECT_EQ(code(status, "nonsense"), expected) << status;
    EXPECT_EQ(error_of_reply(status, "{}").code, expected) << status;
  }
  EXPECT_EQ(error_of_reply(400, R"({"error":{"message":3}})").code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error_of_reply(401, "{}").message, HasSubstr("--api-key"));
}

/// A server that answers as Switchyard would.
class ClientTest : public testing::Test {
 protected:
  void SetUp() override {
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::jthread([this] { server_.listen_after_bind(); });
    server_.wait_until_ready();
  }
  void TearDown() override { server_.stop(); }
  ClientOptions options(std::string key = {}) const {
    return {.url = "http://127.0.0.1:" + std::to_string(port_), .api_key = std::move(key)};
  }
  httplib::Server server_;
  int port_ = 0;
  std::jthread thread_;
};

TEST_F(ClientTest, RequestsWithKeyAndPrefix) {
  server_.Post("/p/x", [](const httplib::Request& request, httplib::Response& reply) {
    reply.set_content(
        "{\"auth\":\"" + request.get_header_value("Authorization") + "\",\"body\":" + request.body + "}",
        "application/json");
  });
  ClientOptions to = options("secret");
  to.url += "/p/";
  const auto answer = Client(to).request("POST", "/x", {{"a", 1}});
  ASSERT_TRUE(answer) << answer.error().to_string();
  EXPECT_EQ((*answer)["auth"], "Bearer secret");
  EXPECT_EQ((*answer)["body"]["a"], 1);
  EXPECT_EQ(Client(options()).request("GET", "/nothing").error().code, ErrorCode::kNotFound);
  ClientOptions of_a_file = to;
  of_a_file.api_key = " secret\r\n";
  EXPECT_EQ((*Client(of_a_file).request("POST", "/x", {{"a", 1}}))["auth"], "Bearer secret");
  of_a_file.api_key = "se\x01cret";
  EXPECT_EQ(Client(of_a_file).request("POST", "/x", {{"a", 1}}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(ClientTest, AChatIsStreamed) {
  std::string sent;
  server_.Post("/v1/chat/completions", [&](const httplib::Request& request, httplib::Response& reply) {
    sent = request.body;
    reply.set_content(
        "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n"
        "data: "
        "{\"choices\":[{\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}],\"timings\":{\"predicted_"
        "n\":2}}\n\n"
        "data: [DONE]\n\n",
        "text/event-stream");
  });
  Client client(options());
  std::string shown;
  const std::atomic<bool> stop = false;
  const auto reply = stream_chat(
      client, {{"model", "m"}}, stop,
      [&](const std::string& piece, bool thinking) { shown += thinking ? "(" + piece + ")" : piece; });
  ASSERT_TRUE(reply) << reply.error().to_string();
  EXPECT_EQ(shown, "(hm)Hello");
  EXPECT_EQ(reply->text, "Hello");
  EXPECT_EQ(reply->finish_reason, "stop");
  EXPECT_EQ(reply->timings["predicted_n"], 2);
  EXPECT_TRUE(Json::parse(sent)["stream"].get<bool>());
}

TEST_F(ClientTest, AChatThatFailsOrIsStopped) {
  std::string frames;
  server_.Post("/v1/chat/completions", [&](const httplib::Request&, httplib::Response& reply) {
    reply.set_content(frames, "text/event-stream");
  });
  std::atomic<bool> stop = false;
  const auto chat = [&] {
    Client client(options());
    return stream_chat(client, Json::object(), stop, [](const std::string&, bool) {});
  };
  frames = "data: {\"error\":{\"code\":503,\"message\":\"going down\"}}\n\n";
  EXPECT_EQ(chat().error().message, "going down");
  EXPECT_EQ(chat().error().code, ErrorCode::kUnavailable);
  stop = true;
  frames =
      "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: "
      "{\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n";
  const auto stopped = chat();
  ASSERT_TRUE(stopped);
  EXPECT_TRUE(stopped->stopped);
  EXPECT_EQ(stopped->text, "a");
}

TEST(Client, NoServerSaysWhatToDo) {
  const auto answer = Client({.url = "127.0.0.1:1", .api_key = {}}).request("GET", "/health");
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message,
              HasSubstr("no server at http://127.0.0.1:1: start one with `switchyard serve`"));
  EXPECT_FALSE(Client({.url = "unix:///nonexistent.sock", .api_key = {}}).request("GET", "/health"));
  EXPECT_FALSE(Client({.url = "nonsense://x", .api_key = {}}).request("GET", "/health"));
}

TEST(Terminal, TablesLetNothingSteerTheTerminal) {
  EXPECT_EQ(format_table({"NAME"}, {{"a\x1b[2J\nb"}}), "NAME\na [2J b\n");
}

TEST(Tables, NamesForCompletion) {
  EXPECT_THAT(model_names(Json::parse(R"({"models": [{"id": "a", "versions": [{"id": "a@1"}, {"id": "a@2"}]},
                                                     {"id": "b c", "versions": [{"id": "b c@1"}]}]})"),
                          Json::parse(R"({"aliases": [{"name": "chat", "to": "a@1"}]})")),
              ElementsAre("a", "a@1", "a@2", "b c", "chat"));
}

TEST(Terminal, TablesAreAligned) {
  EXPECT_EQ(format_table({"NAME", "N"}, {{"a", "1"}, {"größer", "100"}}, {1}),
            "NAME      N\na         1\ngrößer  100\n");
  EXPECT_EQ(format_bar(0.5, 10), "[#####.....]  50 %");
  EXPECT_EQ(format_seconds(0.4), "400ms");
  EXPECT_EQ(format_seconds(75), "1m15s");
  EXPECT_EQ(format_seconds(3700), "1h01m");
  EXPECT_EQ(format_count(134515008), "134.5M");
}

const Json kModels = Json::parse(R"({"reserved_bytes": 1048576, "limits": {"memory_budget": 2097152},
  "models": [{"id": "a", "versions": [
    {"id": "a@1", "version": "1", "state": "hot", "health": "healthy", "pinned": true, "leases": 2, "waiting": 0, "idle_seconds": null,
     "architecture": "llama", "n_params": 1500000000, "file_size": 1048576, "n_ctx": 4096, "n_slots": 4,
     "predicted_bytes": [{"total": 1048576}], "error": null},
    {"id": "a@2", "version": "2", "state": "failed", "health": "quarantined", "leases": 0, "waiting": 0,
     "error": {"code": "corrupt_file", "message": "a2.gguf: cut short"}}]},
   {"id": "b", "versions": [{"id": "b@1", "version": "1", "state": "parked", "health": "degraded", "leases": 0, "waiting": 1, "idle_seconds": 75}]}]})");

TEST(Tables, Ls) {
  const std::string table =
      model_table(kModels, Json::parse(R"({"aliases": [{"name": "chat", "to": "a@1"}]})"));
  EXPECT_THAT(table,
              HasSubstr("\na@1   hot, pinned          llama    1.5B  1.0 MiB     4096    -      4  1.0 MiB  "
                        "chat\n"));
  EXPECT_THAT(table, HasSubstr("\na@2   failed, quarantined  "));
  EXPECT_THAT(table, HasSubstr("\nb     parked, degraded     "));
  EXPECT_THAT(table, HasSubstr("a@2: a2.gguf: cut short"));
  EXPECT_THAT(model_table({{"models", Json::array()}}, Json::object()), HasSubstr("no models"));
}

TEST(Tables, Ps) {
  const std::string table = residency_table(kModels);
  EXPECT_THAT(table, HasSubstr("a@1   hot, pinned       1.0 MiB         2        0      -\n"));
  EXPECT_THAT(table, HasSubstr("b     parked, degraded        -         0        1  1m15s\n"));
  EXPECT_THAT(table, testing::Not(HasSubstr("a@2")));
  EXPECT_THAT(table, HasSubstr("1.0 MiB of 2.0 MiB reserved"));
}

TEST(Tables, Alerts) {
  const Json answer = Json::parse(R"({
    "alerts": [{"rule": "queue_wait", "model": "a", "state": "firing", "severity": "warning", "value": 12,
                "threshold": 10, "unit": "seconds", "summary": "a: the wait is long", "since": "12:00:00",
                "fired_at": "12:01:00", "resolved_at": null}],
    "rules": [{"rule": "queue_wait", "off": false}, {"rule": "memory", "off": true}], "webhook": null})");
  EXPECT_EQ(alert_table(answer),
            "ALERT       STATE   SEVERITY  SINCE     RESOLVED  SUMMARY\n"
            "queue_wait  firing  warning   12:00:00  -         a: the wait is long\n");
  EXPECT_EQ(alert_table({{"alerts", Json::array()}, {"rules", answer.at("rules")}}),
            "Nothing fires; 1 rules are watched.\n");
}

TEST(Tables, Experiments) {
  const Json report = Json::parse(R"({
    "id": "x", "alias": "chat", "state": "decided", "control": {"version": "a@1", "weight": 50},
    "variants": [{"version": "a@2", "weight": 50}], "hypothesis": "quicker", "metric": "latency",
    "better": "lower", "requests": 10,
    "verdict": {"decision": "promote", "version": "a@2", "acted": false, "reasons": ["a@2: better"]},
    "rows": [{"segment": null, "version": "a@1", "metric": "latency", "unit": "s", "observations": 5, "mean": 2},
             {"segment": "/x", "version": "a@2", "metric": "latency", "unit": "s", "observations": 5, "mean": 1,
              "difference": -0.5, "lower": -0.6, "upper": null, "relative": true, "enough": true,
              "side": "better"}],
    "observations": {"lost": 2, "dropped": 1}})");
  EXPECT_THAT(experiments_table({{"experiments", Json::array({report})}}),
              HasSubstr("x           decided  chat   latency  a@1      a@2             10  promote a@2\n"));
  EXPECT_EQ(experiments_table(Json::object()), "There are no experiments.\n");
  const std::string text = experiment_report_text(report);
  EXPECT_THAT(text, HasSubstr("Hypothesis: quicker\nVerdict: promote a@2\n  a@2: better\n"));
  EXPECT_THAT(
      text,
      HasSubstr("/x       latency  a@2                 5   1 s     -50.0 %  -60.0 % to ?       better\n"));
  EXPECT_THAT(text, HasSubstr("3 observations of all experiments were lost"));
}

TEST(Paired, LinesAreChatRequestsWithoutChance) {
  const Json body = *chat_body_of(R"({"prompt": "hi", "top_k": 3})");
  EXPECT_EQ(body["messages"][0]["content"], "hi");
  EXPECT_EQ(body["top_k"], 3);
  EXPECT_EQ(body["temperature"], 0);
  EXPECT_FALSE(body.contains("prompt"));
  EXPECT_EQ((*chat_body_of(R"({"messages": [], "temperature": 1})"))["temperature"], 1);
  EXPECT_EQ((*chat_body_of(R"("hi")"))["messages"][0]["role"], "user");
  for (const char* line : {"", "{", "[]", "3", "{}", R"({"prompt": 1})", R"({"messages": "x"})"})
    EXPECT_EQ(chat_body_of(line).error().code, ErrorCode::kInvalidArgument) << line;
}

TEST(Paired, ComparesPairByPair) {
  std::vector<PairedRow> rows;
  for (std::size_t i = 1; i <= 20; ++i) {
    rows.push_back({.line = i,
                    .a = {.text = "{}", .tokens = 2, .seconds = 1 + 0.01 * static_cast<double>(i % 2)},
                    .b = {.text = i == 1 ? "{}" : "{", .tokens = 1, .seconds = 0.5}});
  }
  rows.push_back({.line = 30, .a = {.error = Error{ErrorCode::kTimeout, "too slow"}}, .b = {.text = "x"}});
  const Json result = paired_json("m@1", "m@2", rows);
  EXPECT_EQ(result["prompts"], 21);
  EXPECT_EQ(result["failed"], 1);
  EXPECT_EQ(result["equal"], 1);
  EXPECT_EQ(result["valid_json"]["a"], 20);
  EXPECT_EQ(result["valid_json"]["b"], 1);
  EXPECT_EQ(result["tokens"]["a"], 40);
  EXPECT_NEAR(result["time"]["difference"].get<double>(), -0.5, 0.01);
  EXPECT_LT(result["time"]["upper"].get<double>(), -0.4);
  EXPECT_EQ(result["rows"][1]["common_start"], 1);
  EXPECT_EQ(result["rows"][20]["a"]["error"], "too slow");
  EXPECT_THAT(paired_table(result), HasSubstr("20 of 21 prompts were compared, 1 replies are the same"));
}

TEST(Tables, Health) {
  const std::string table = health_table(Json::parse(R"({"versions": [
    {"id": "a@1", "state": "hot", "health": "healthy", "latency_ms": 12.4, "failures": 0, "restarts": 1,
     "since": "2026-01-31T12:00:00.000Z", "reason": null},
    {"id": "b@1", "state": "failed", "health": "quarantined", "latency_ms": null, "failures": 5, "restarts": 0,
     "since": "2026-01-31T12:00:00.000Z", "reason": "its worker died"},
    {"id": "c@1", "state": "cold", "health": "unknown", "latency_ms": null, "failures": 0, "restarts": 0,
     "since": null, "reason": null}]})"));
  EXPECT_THAT(
      table, HasSubstr("a@1   hot     healthy        12 ms         0         1  2026-01-31T12:00:00.000Z\n"));
  EXPECT_THAT(table, HasSubstr("\nb@1: its worker died\n"));
  EXPECT_THAT(table, testing::Not(HasSubstr("c@1"))) << "never in memory";
  EXPECT_THAT(health_table({{"versions", Json::array()}}), HasSubstr("No model has been in memory"));
}

TEST(LoadProgress, LinesForEvents) {
  EXPECT_THAT(progress_line(
                  Json::parse(R"({"type":"load_progress","model":"a","stage":"text_model","progress":0.5})")),
              StartsWith("loading a [###############......"));
  EXPECT_THAT(progress_line(Json::parse(R"({"type":"load_progress","model":"a","stage":"warmup"})")),
              StartsWith("warming up a"));
  EXPECT_EQ(progress_line(Json::parse(R"({"type":"state","model":"a","to":"draining"})")), "a is draining");
  EXPECT_EQ(progress_line(Json::parse(R"({"type":"state","model":"a","to":"hot"})")), "");
  EXPECT_EQ(progress_line(Json::array()), "");
}

config::Catalog catalog_with(const std::vector<std::string>& versions, std::vector<config::Alias> aliases) {
  config::Catalog catalog;
  models::ModelDefinition model{
      .id = "m", .versions = {}, .extra_names = {}, .tags = {}, .source = "config", .settings = {}};
  for (const std::string& version : versions) model.versions.push_back({"m", version, "m", {}, {}});
  catalog.models = {model};
  catalog.aliases = std::move(aliases);
  return catalog;
}

TEST(FileWatch, TellsOnceWhenFilesHoldStill) {
  FileStamps files = {{"a", "1"}};
  std::vector<FileStamps> told;
  FileWatch watch([&] { return files; }, [&] { told.push_back(files); });
  watch.tick();
  EXPECT_TRUE(told.empty());
  files["b"] = "half";
  watch.tick();
  files["b"] = "whole";
  watch.tick();
  EXPECT_TRUE(told.empty()) << "it is still being written";
  watch.tick();
  EXPECT_EQ(told.size(), 1U);
  watch.tick();
  EXPECT_EQ(told.size(), 1U);
  files.erase("a");
  watch.tick();
  watch.tick();
  EXPECT_EQ(told.size(), 2U);
}

TEST(FileWatch, WhatChangesDuringAReloadIsReloadedOnceMore) {
  FileStamps files = {{"config", "1"}};
  int told = 0;
  FileWatch watch([&] { return files; },
                  [&] {
                    ++told;
                    files.emplace("new", "1");  // a file that the config names now
                    if (told == 1) files["config"] = "3";
                  });
  files["config"] = "2";
  for (int i = 0; i < 6; ++i) watch.tick();
  EXPECT_EQ(told, 2);
}

TEST(Reload, SaysWhatChanged) {
  config::Catalog before = catalog_with({"1"}, {});
  config::Catalog after = catalog_with({"1", "2"}, {{"chat", {"m", "2"}}});
  after.limits.models_max = 9;
  after.server.port = 1;
  after.server.api_keys = {"sk"};
  const Json changes = Json::parse(describe_changes(before, before, after));
  EXPECT_TRUE(changes["changed"]);
  EXPECT_EQ(changes["models"]["changed"], Json::array({"m"}));
  EXPECT_EQ(changes["aliases"], Json::array({"chat"}));
  EXPECT_EQ(Json::parse(describe_changes(before, after, before))["aliases"], Json::array({"chat"}))
      << "it goes";
  EXPECT_EQ(changes["limits"], Json::array({"models_max"}));
  EXPECT_EQ(changes["settings"], Json::array({"api_keys"}));
  EXPECT_EQ(changes["needs_restart"], Json::array({"port"}));
  const Json again = Json::parse(describe_changes(before, after, after));
  EXPECT_FALSE(again["changed"]);
  EXPECT_EQ(again["needs_restart"], Json::array({"port"})) << "until there has been one";
}

TEST(Program, ExitStatus) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  EXPECT_EQ(run_program({}), 2);
  EXPECT_EQ(run_program({"--help"}), 0);
  EXPECT_EQ(run_program({"lss"}), 2);
  EXPECT_EQ(run_program({"load"}), 2);
  EXPECT_EQ(run_program({"ls", "--bogus"}), 2);
  EXPECT_EQ(run_program({"serve", "--bogus"}), 2);
  EXPECT_EQ(run_program({"serve", "--help"}), 0);
  EXPECT_EQ(run_program({"config", "check", "/nonexistent.yaml"}), 1);
  EXPECT_EQ(run_program({"version", "--json"}), 0);
  for (const char* shell : {"bash", "zsh", "fish"}) EXPECT_EQ(run_program({"completion", shell}), 0) << shell;
  setenv("SWITCHYARD_URL", "http://127.0.0.1:2", 1);
  EXPECT_EQ(run_program({"ls", "--url", "http://127.0.0.1:1"}), 1);
  unsetenv("SWITCHYARD_URL");
  const std::string errors = testing::internal::GetCapturedStderr();
  testing::internal::GetCapturedStdout();
  EXPECT_THAT(errors, HasSubstr("unknown command 'lss'; did you mean 'ls'"));
  EXPECT_THAT(errors, HasSubstr("no server at http://127.0.0.1:1"));
  EXPECT_THAT(errors, testing::Not(HasSubstr("127.0.0.1:2")));
}

/// What a command printed as JSON, and its exit status.
std::pair<int, Json> json_of(std::vector<std::string> words) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int status = run_program(std::move(words));
  testing::internal::GetCapturedStderr();
  return {status, Json::parse(testing::internal::GetCapturedStdout(), nullptr, false)};
}

TEST(Program, ErrorsAreJsonWhereJsonIsAskedFor) {
  const std::vector<std::vector<std::string>> wrong = {{"ls", "--json", "--bogus"},
                                                       {"load", "--json"},
                                                       {"lss", "--json"},
                                                       {"load", "", "--json"},
                                                       {"run", "", "--json"},
                                                       {"serve", "--json", "--bogus"},
                                                       {"completion", "csh", "--json"},
                                                       {"serve", "--json", "--port", "99999"}};
  for (const auto& words : wrong) {
    const auto [status, answer] = json_of(words);
    EXPECT_EQ(status, 2) << words[0];
    ASSERT_TRUE(answer.is_object()) << words[0];
    EXPECT_EQ(answer["error"]["code"], "invalid_argument") << words[0];
    EXPECT_FALSE(answer["error"]["message"].get<std::string>().empty()) << words[0];
  }
  EXPECT_EQ(json_of({"ls", "--json", "--url", "http://127.0.0.1:1"}).second["error"]["code"], "unavailable");
  const auto [status, check] = json_of({"config", "check", "/nonexistent.yaml", "--json"});
  EXPECT_EQ(status, 1);
  EXPECT_EQ(check["valid"], false);
  EXPECT_EQ(check["error"]["code"], "not_found");
  EXPECT_THAT(json_of({"completion", "bash", "--json"}).second["script"].get<std::string>(),
              HasSubstr("complete -F"));
}

TEST(Program, PortsOutOfRangeAreNamed) {
  for (const char* port : {"-1", "99999"}) {
    const Json answer = json_of({"serve", "--json", "--port", port}).second;
    EXPECT_THAT(answer["error"]["message"].get<std::string>(),
                testing::AllOf(HasSubstr(std::string("--port ") + port), HasSubstr("65535")));
  }
}

}  // namespace
}  // namespace switchyard::cli
