#include "config/catalog.h"
#include "config/new_version.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "engine/args.h"

namespace switchyard::config {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class CatalogTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    setenv("LLAMA_CACHE", (testing::TempDir() + "no_cache_" + std::to_string(getpid())).c_str(), 1);
  }
  void SetUp() override {
    std::string name = testing::TempDir() + "catalogXXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
    std::filesystem::create_directories(dir_ / "models/vision");
    for (const char* file : {"models/a.gguf", "models/b.gguf", "models/vision/v.gguf",
                             "models/vision/mmproj-v.gguf", "beside.gguf"}) {
      std::ofstream(dir_ / file) << "x";
    }
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name) << text;
    return dir_ / name;
  }
  Sources with(std::vector<std::string> words, const std::string& yaml = {}) const {
    Sources sources;
    sources.command_line = *engine::parse_command_line(words);
    if (!yaml.empty()) sources.own.config_path = write("config.yaml", yaml);
    return sources;
  }
  std::string models_dir() const { return dir_ / "models"; }
  static const models::ModelDefinition* find(const Catalog& catalog, const std::string& id) {
    const auto found = std::ranges::find(catalog.models, id, &models::ModelDefinition::id);
    return found == catalog.models.end() ? nullptr : &*found;
  }
  static std::vector<std::string> ids(const Catalog& catalog) {
    std::vector<std::string> ids;
    ids.reserve(catalog.models.size());
    for (const auto& model : catalog.models) ids.push_back(model.id);
    return ids;
  }
  static std::string error_of(const Sources& sources) {
    const auto catalog = build_catalog(sources);
    return catalog ? "no error" : catalog.error().to_string();
  }
  std::filesystem::path dir_;
};

TEST_F(CatalogTest, AFolderAloneIsEnough) {
  const auto catalog = build_catalog(with({"--models-dir", models_dir(), "-c", "2048"}));
  ASSERT_TRUE(catalog) << catalog.error().to_string();
  EXPECT_THAT(ids(*catalog), ElementsAre("a", "b", "vision"));
  const models::ModelDefinition* a = find(*catalog, "a");
  EXPECT_EQ(a->source, "models_dir");
  ASSERT_EQ(a->versions.size(), 1U);
  EXPECT_EQ(a->versions[0].version, "1");
  EXPECT_EQ(a->versions[0].reply_name, "a");
  EXPECT_EQ(a->versions[0].args.at("model"), models_dir() + "/a.gguf");
  EXPECT_EQ(a->versions[0].args.at("ctx-size"), "2048");
  EXPECT_FALSE(a->versions[0].args.contains("models-dir"));
  EXPECT_EQ(find(*catalog, "vision")->versions[0].args.at("mmproj"), models_dir() + "/vision/mmproj-v.gguf");
  EXPECT_EQ(catalog->default_model, "");
  EXPECT_FALSE(catalog->single_model);
  EXPECT_GT(catalog->limits.memory_budget, ByteSize::mib(1));
  EXPECT_THAT(catalog->notes, IsEmpty());
}

// Each place sets what the places below it have set too; the highest one counts.
TEST_F(CatalogTest, Precedence) {
  struct Place {
    const char* value;
    std::string name;
  };
  const std::vector<std::string> places = {"environment", "ini common",   "yaml defaults", "ini section",
                                           "yaml model",  "yaml version", "command line"};
  for (std::size_t highest = 0; highest < places.size(); ++highest) {
    const auto value = [&](std::size_t place) {  // the place's own value, or an option that changes nothing
      return place <= highest ? "ctx-size" : "threads";
    };
    const std::string preset =
        write("p.ini", std::string("[*]\n") + value(1) + " = 1001\n[m]\n" + value(3) + " = 1003\n");
    Sources sources =
        with({"--models-preset", preset, std::string("--") + value(6), "1006"},
             std::string("defaults: {args: {") + value(2) + ": 1002}}\nmodels:\n  - id: m\n    args: {" +
                 value(4) + ": 1004}\n    versions: [{version: x, file: beside.gguf, args: {" + value(5) +
                 ": 1005}}]\n");
    sources.environment = {{"ctx-size", "1000"}};
    const auto catalog = build_catalog(sources);
    ASSERT_TRUE(catalog) << places[highest] << ": " << catalog.error().to_string();
    EXPECT_EQ(find(*catalog, "m")->versions[0].args.at("ctx-size"), std::to_string(1000 + highest))
        << places[highest];
  }
}

TEST_F(CatalogTest, AnAliasMayHaveAShadow) {
  const std::string models = "models: [{id: m, file: beside.gguf}, {id: n, file: beside.gguf}]\n";
  const auto shadow = [&](const std::string& of_m, const std::string& to = "to: m") {
    return build_catalog(with({}, models + "aliases: [{name: x, " + to + ", shadow: {" + of_m + "}}]\n"));
  };
  const auto whole = shadow(
      "to: n, fraction: 0.5, similarity_model: m@1, keep_replies: true, beside_users: true, max_tokens: 9");
  ASSERT_TRUE(whole) << whole.error().to_string();
  EXPECT_EQ(whole->aliases[0].shadow, (AliasShadow{.to = {"n", "1"},
                                                   .fraction = 0.5,
                                                   .similarity_model = "m@1",
                                                   .keep_replies = true,
                                                   .beside_users = true,
                                                   .max_tokens = 9}));
  EXPECT_EQ(shadow("to: n")->aliases[0].shadow, (AliasShadow{.to = {"n", "1"}}));
  EXPECT_TRUE(shadow("to: m", "split: [{to: m, weight: 50}, {to: n, weight: 50}]"));
  const auto why_not = [&](const std::string& of_m) { return shadow(of_m).error().message; };
  EXPECT_THAT(why_not("to: m"),
              HasSubstr("config.yaml:2: alias 'x': its shadow is 'm@1', which it means already"));
  EXPECT_THAT(why_not("to: q"), HasSubstr("its shadow: no model 'q'"));
  EXPECT_THAT(why_not("fraction: 0.5"), HasSubstr("its shadow needs a 'to'"));
  EXPECT_THAT(why_not("to: n, fraction: 1.5"), HasSubstr("above 0 and at most 1"));
  EXPECT_THAT(why_not("to: n, similarity_model: q"), HasSubstr("the 'similarity_model' of its shadow"));
  EXPECT_THAT(why_not("to: n, fractoin: 1"),
              HasSubstr("unknown key 'fractoin' in shadow; did you mean 'fraction'"));
}

TEST_F(CatalogTest, YamlModelsJoinWhatTheFolderHolds) {
  const auto catalog = build_catalog(with({"--models-dir", models_dir()}, R"(
models:
  - {id: nice, file: a.gguf, pin: true, names: [n]}
  - {id: b, args: {parallel: 2}, preload: true}
  - {id: eye, file: vision/v.gguf}
  - {id: near, file: beside.gguf}
  - {id: gone, file: gone.gguf}
aliases: [{name: chat, to: n}]
server: {default_model: chat}
)"));
  ASSERT_TRUE(catalog) << catalog.error().to_string();
  EXPECT_THAT(ids(*catalog), ElementsAre("b", "eye", "gone", "near", "nice"));
  const models::ModelDefinition* nice = find(*catalog, "nice");
  EXPECT_EQ(nice->source, "config");
  EXPECT_TRUE(nice->settings.pin);
  EXPECT_THAT(nice->extra_names, ElementsAre("n", "a"));
  EXPECT_EQ(nice->versions[0].args.at("model"), models_dir() + "/a.gguf");
  const models::ModelDefinition* b = find(*catalog, "b");
  EXPECT_EQ(b->versions[0].args.at("model"), models_dir() + "/b.gguf");
  EXPECT_EQ(b->versions[0].args.at("parallel"), "2");
  EXPECT_TRUE(b->settings.preload);
  EXPECT_EQ(find(*catalog, "eye")->versions[0].args.at("mmproj"), models_dir() + "/vision/mmproj-v.gguf");
  EXPECT_EQ(find(*catalog, "near")->versions[0].args.at("model"), (dir_ / "beside.gguf").string());
  EXPECT_THAT(catalog->notes, ElementsAre(HasSubstr("model 'gone'")));
  EXPECT_THAT(catalog->aliases, ElementsAre(Alias{"chat", {"nice", "1"}}));
  EXPECT_EQ(catalog->default_model, "chat");
}

TEST_F(CatalogTest, PresetOptionsBecomeSettings) {
  const std::string preset =
      write("p.ini",
            "[*]\nstop-timeout = 3\n[a]\nload-on-startup = true\nalias = x, y\ntags = t\n"
            "sleep-idle-seconds = 60\n[other]\nmodel = " +
                (dir_ / "beside.gguf").string() + "\n");
  const auto catalog = build_catalog(with({"--models-dir", models_dir(), "--models-preset", preset}));
  ASSERT_TRUE(catalog) << catalog.error().to_string();
  const models::ModelDefinition* a = find(*catalog, "a");
  EXPECT_EQ(a->source, "preset");
  EXPECT_TRUE(a->settings.preload);
  EXPECT_EQ(a->settings.drain_timeout, 3s);
  EXPECT_EQ(a->settings.park_after, 60s);
  EXPECT_THAT(a->extra_names, ElementsAre("x", "y"));
  EXPECT_THAT(a->tags, ElementsAre("t"));
  for (const char* option : {"load-on-startup", "stop-timeout", "alias", "tags", "sleep-idle-seconds"}) {
    EXPECT_FALSE(a->versions[0].args.contains(option)) << option;
  }
  EXPECT_EQ(find(*catalog, "other")->versions[0].args.at("model"), (dir_ / "beside.gguf").string());
  EXPECT_EQ(find(*catalog, "b")->settings.drain_timeout, 3s);
}

TEST_F(CatalogTest, IsolationIsTheModelsOwnThenTheCommandLinesThenTheDefaults) {
  using engine::Isolation;
  const std::string yaml = R"(
defaults: {isolation: process, worker_memory: 1GiB, worker_nice: 3}
models:
  - {id: a, isolation: none}
  - {id: near, isolation: process, worker_cpus: "0-2,5", worker_memory: 2GiB, versions: [
      {version: x, file: beside.gguf}, {version: y, file: beside.gguf}]}
)";
  config::Sources sources = with({"--models-dir", models_dir()}, yaml);
  auto catalog = build_catalog(sources);
  ASSERT_TRUE(catalog) << catalog.error().to_string();
  const auto first = [&](const std::string& id) { return find(*catalog, id)->versions[0]; };
  EXPECT_EQ(first("a").isolation, Isolation::kNone);
  EXPECT_EQ(first("b").isolation, Isolation::kProcess);
  EXPECT_EQ(first("b").worker, (engine::WorkerLimits{.memory = ByteSize::gib(1), .nice = 3}));
  for (const engine::ModelSpec& version : find(*catalog, "near")->versions) {
    EXPECT_EQ(version.isolation, Isolation::kProcess);
    EXPECT_EQ(version.worker,
              (engine::WorkerLimits{.memory = ByteSize::gib(2), .cpus = {0, 1, 2, 5}, .nice = 3}));
  }
  sources.own.isolation = Isolation::kNone;
  catalog = build_catalog(sources);
  ASSERT_TRUE(catalog);
  EXPECT_EQ(first("b").isolation, Isolation::kNone);
  EXPECT_EQ(first("near").isolation, Isolation::kProcess);
}

TEST_F(CatalogTest, SettingsHaveTheSamePrecedenceAsOptions) {
  const std::string preset =
      write("p.ini", "[*]\nstop-timeout = 9\nsleep-idle-seconds = 7\n[a]\nstop-timeout = 11\n");
  const std::string yaml =
      "defaults: {park_after: 100s, drain_timeout: 50s}\nmodels:\n  - {id: b, park_after: 200s}\n";
  const auto catalog = build_catalog(with({"--models-dir", models_dir(), "--models-preset", preset}, yaml));
  ASSERT_TRUE(catalog) << catalog.error().to_string();
  EXPECT_EQ(find(*catalog, "a")->settings.drain_timeout, 11s);  // its INI section over YAML defaults
  EXPECT_EQ(find(*catalog, "a")->settings.park_after, 100s);    // YAML defaults over [*]
  EXPECT_EQ(find(*catalog, "b")->settings.drain_timeout, 50s);
  EXPECT_EQ(find(*catalog, "b")->settings.park_after, 200s);  // YAML model over its defaults
  const auto told = build_catalog(
      with({"--models-dir", models_dir(), "--models-preset", preset, "--sleep-idle-seconds", "33"}, yaml));
  ASSERT_TRUE(told) << told.error().to_string();
  EXPECT_EQ(find(*told, "a")->settings.park_after, 33s);
  EXPECT_EQ(find(*told, "b")->settings.park_after, 33s);  // the command line over all
}

TEST_F(CatalogTest, AModelMayNeverBeParkedWhateverTheDefaultsSay) {
  const auto catalog = build_catalog(with({"--models-dir", models_dir()},
                                          "defaults: {park_after: 100s, unload_after: 1h}\n"
                                          "models:\n  - {id: b, park_after: never, unload_after: never}\n"));
  ASSERT_TRUE(catalog) << catalog.error().to_string();
  EXPECT_EQ(find(*catalog, "a")->settings.park_after, 100s);
  EXPECT_EQ(find(*catalog, "b")->settings.park_after, std::nullopt);
  EXPECT_EQ(find(*catalog, "b")->settings.unload_after, std::nullopt);
}

TEST_F(CatalogTest, HealthIsSetKeyByKey) {
  const auto catalog = build_catalog(
      with({"--models-dir", models_dir()},
           "defaults: {health: {interval: 0, failures: 7}}\nmodels: [{id: b, health: {failures: 2}}]\n"));
  ASSERT_TRUE(catalog) << catalog.error().to_string();
  EXPECT_EQ(find(*catalog, "a")->settings.health.interval, 0s);
  EXPECT_EQ(find(*catalog, "a")->settings.health.failures, 7U);
  EXPECT_EQ(find(*catalog, "b")->settings.health.interval, 0s);
  EXPECT_EQ(find(*catalog, "b")->settings.health.failures, 2U);
  EXPECT_EQ(find(*catalog, "b")->settings.health.degraded, 5s);
}

TEST_F(CatalogTest, AnAliasMayPointAtANameWithAnAtSign) {
  std::ofstream(dir_ / "models/o@dd.gguf") << "x";
  const auto catalog = build_catalog(
      with({"--models-dir", models_dir()}, "aliases:\n  - {name: x, to: o@dd}\n  - {name: y, to: o@dd@1}\n"));
  ASSERT_TRUE(catalog) << catalog.error().to_string();
  EXPECT_EQ(catalog->aliases[0].to, (models::VersionRef{"o@dd", "1"}));
  EXPECT_EQ(catalog->aliases[1].to, (models::VersionRef{"o@dd", "1"}));
}

TEST_F(CatalogTest, TheEnvironmentsFolderDoesNotStandAgainstOneModel) {
  Sources sources = with({"-m", models_dir() + "/a.gguf"});
  sources.environment["models-dir"] = models_dir();
  const auto catalog = build_catalog(sources);
  ASSERT_TRUE(catalog) << catalog.error().to_string();
  EXPECT_TRUE(catalog->single_model);
}

TEST_F(CatalogTest, OneModel) {
  const std::string file = models_dir() + "/a.gguf";
  const auto plain = build_catalog(with({"-m", file, "--jinja"}));
  ASSERT_TRUE(plain) << plain.error().to_string();
  EXPECT_TRUE(plain->single_model);
  EXPECT_EQ(plain->default_model, "a");
  EXPECT_TRUE(plain->models[0].settings.preload);
  Sources watching = with({"-m", file});
  watching.own.watch = std::chrono::seconds(5);
  EXPECT_THAT(build_catalog(watching)->notes, testing::ElementsAre(testing::HasSubstr("--watch")));
  EXPECT_THAT(plain->models[0].extra_names, ElementsAre("a.gguf", file));
  EXPECT_EQ(plain->models[0].versions[0].reply_name, file);
  EXPECT_EQ(plain->models[0].versions[0].args.at("jinja"), "true");

  const auto named = build_catalog(with({"-m", file, "--alias", "y,x"}));
  ASSERT_TRUE(named) << named.error().to_string();
  EXPECT_EQ(named->models[0].id, "x");
  EXPECT_THAT(named->models[0].extra_names, ElementsAre("y"));
  EXPECT_EQ(named->models[0].versions[0].reply_name, "x");
  EXPECT_EQ(named->models[0].versions[0].model, "x");

  Sources variable = with({"-c", "10"});
  variable.environment = {{"model", file}, {"ctx-size", "20"}};
  const auto from_environment = build_catalog(variable);
  ASSERT_TRUE(from_environment) << from_environment.error().to_string();
  EXPECT_EQ(from_environment->models[0].versions[0].args.at("ctx-size"), "10");
  variable.command_line["models-dir"] = models_dir();
  EXPECT_FALSE(build_catalog(variable)->single_model);

  EXPECT_EQ(build_catalog(with({"-m", "/nonexistent.gguf"})).error().code, ErrorCode::kNotFound);
  EXPECT_THAT(error_of(with({"-m", file, "--models-dir", models_dir()})),
              HasSubstr("-m (or -hf) makes a server of one"));
  EXPECT_THAT(error_of(with({"-m", file}, "models: [{id: z, file: z.gguf}]\n")), HasSubstr("server of one"));
  EXPECT_TRUE(build_catalog(with({"-m", file}, "limits: {models_max: 2}\n")));
  EXPECT_EQ(single_remote_model(with({"-hf", "user/repo:Q8_0"})).repo, "user/repo:Q8_0");
}

TEST_F(CatalogTest, WhatTheFolderHoldsBesideModelsIsNoted) {
  namespace fs = std::filesystem;
  fs::create_symlink("loop.gguf", dir_ / "models/loop.gguf");
  fs::create_directories(dir_ / "models/empty");
  ASSERT_EQ(mkfifo((dir_ / "models/pipe.gguf").c_str(), 0600), 0);
  write("models/readme.txt", "x");
  const auto catalog = build_catalog(with({"--models-dir", models_dir()}));
  ASSERT_TRUE(catalog) << catalog.error().to_string();
  EXPECT_THAT(ids(*catalog), ElementsAre("a", "b", "vision"));
  EXPECT_THAT(catalog->notes,
              ElementsAre(HasSubstr("empty is left out: no GGUF file"), HasSubstr("loop.gguf is left out: "),
                          HasSubstr("pipe.gguf is left out: it is no regular file")));
}

TEST_F(CatalogTest, AFolderAsAFileIsNoted) {
  const auto catalog = build_catalog(with({}, "models: [{id: m, file: models}]\n"));
  ASSERT_TRUE(catalog) << catalog.error().to_string();
  EXPECT_THAT(catalog->notes, ElementsAre(HasSubstr("is no regular file")));
}

TEST_F(CatalogTest, Faults) {
  const std::string yaml = "models:\n  - {id: m, file: beside.gguf}\n";
  const auto with_yaml = [&](const std::string& more) { return error_of(with({}, yaml + more)); };
  EXPECT_THAT(error_of(with({"--models-dir", "/nonexistent"})),
              HasSubstr("models folder '/nonexistent' does not exist"));
  EXPECT_THAT(error_of(with({"--models-preset", "/nonexistent.ini"})),
              HasSubstr("'/nonexistent.ini' cannot be read"));
  EXPECT_THAT(error_of(with({"--models-preset", write("p.ini", "[empty]\nc = 1\n")})),
              HasSubstr("p.ini: section [empty]: model 'empty' has no file"));
  EXPECT_THAT(with_yaml("  - {id: n}\n"), HasSubstr("config.yaml:3: model 'n' has no file"));
  EXPECT_THAT(with_yaml("aliases: [{name: x, to: mm}]\n"),
              HasSubstr("config.yaml:3: alias 'x': no model 'mm'; did you mean 'm'"));
  EXPECT_THAT(with_yaml("aliases: [{name: x, to: m@9}]\n"),
              HasSubstr("model 'm' has no version '9'; it has: 1"));
  EXPECT_THAT(with_yaml("aliases: [{name: x, to: m, fallbacks: [mm]}]\n"),
              HasSubstr("config.yaml:3: fallback of alias 'x': no model 'mm'; did you mean 'm'"));
  EXPECT_THAT(with_yaml("server: {default_model: q}\n"),
              HasSubstr("config.yaml:3: default model: no model 'q'"));
  EXPECT_THAT(error_of(with({"--models-dir", models_dir()}, "aliases: [{name: a, to: b}]\n")),
              HasSubstr("alias 'a' is already a name of model 'a'"));
  EXPECT_THAT(
      error_of(with({"--models-dir", models_dir(), "--models-preset", write("q.ini", "[a]\nalias = b\n")})),
      HasSubstr("the name 'b' is given to both"));
  EXPECT_THAT(error_of(with({"--models-dir", models_dir(), "--alias", "z"})),
              HasSubstr("--alias names one model"));
}

TEST_F(CatalogTest, FilesOutsideTheAllowedFoldersAreRefused) {
  const std::string allowed = "server: {allowed_dirs: [models]}\n";
  EXPECT_TRUE(build_catalog(with({}, allowed + "models: [{id: a, file: models/a.gguf}]\n")));
  EXPECT_THAT(error_of(with({}, allowed + "models: [{id: c, file: beside.gguf}]\n")),
              AllOf(HasSubstr("config.yaml:2: "), HasSubstr("outside the folders")));
  EXPECT_THAT(
      error_of(with({}, allowed + "models: [{id: a, file: models/a.gguf, args: {lora: beside.gguf}}]\n")),
      HasSubstr("outside the folders"));
  std::filesystem::create_symlink(dir_ / "beside.gguf", dir_ / "models/link.gguf");
  EXPECT_THAT(error_of(with({}, allowed + "models: [{id: d, file: models/link.gguf}]\n")),
              HasSubstr("outside the folders"))
      << "links are followed";
  EXPECT_THAT(error_of(with({}, allowed + "models: [{id: e, file: models/../beside.gguf}]\n")),
              HasSubstr("outside the folders"));
  const auto found = build_catalog(with({"--models-dir", models_dir()}, allowed));
  ASSERT_TRUE(found);
  EXPECT_EQ(find(*found, "link"), nullptr);
  EXPECT_THAT(found->notes, Contains(HasSubstr("'link' is left out")));
  EXPECT_THAT(error_of(with({"-m", dir_ / "beside.gguf"}, allowed)), HasSubstr("outside the folders"));
}

TEST_F(CatalogTest, ARegisteredVersionReachesNoOtherFolder) {
  const Sources sources = with({"--models-dir", models_dir()});
  const auto catalog = build_catalog(sources);
  ASSERT_TRUE(catalog);
  const auto make = [&](const std::string& file, engine::ArgMap args, std::vector<std::string> allowed = {}) {
    ServerSettings server = catalog->server;
    server.allowed_dirs = std::move(allowed);
    const auto spec = make_version(sources, server, *find(*catalog, "a"),
                                   {.version = "2", .file = file, .args = std::move(args), .sha256 = {}});
    return spec ? std::string() : std::string(to_string(spec.error().code));
  };
  EXPECT_EQ(make("b.gguf", {}), "");
  EXPECT_EQ(make(dir_ / "beside.gguf", {}), "permission_denied");
  EXPECT_EQ(make("b.gguf", {{"lora", models_dir() + "/a.gguf"}}), "");
  EXPECT_EQ(make("b.gguf", {{"lora", dir_ / "beside.gguf"}}), "permission_denied");
  EXPECT_EQ(make("b.gguf", {{"chat-template-file", "/etc/hostname"}}), "permission_denied");
  EXPECT_EQ(make(models_dir() + "/b.gguf", {}, {dir_ / "models/vision"}), "permission_denied");
  EXPECT_EQ(make("v.gguf", {}, {dir_ / "models/vision"}), "");
}

TEST_F(CatalogTest, ConversationsAreBoundedAndLeaveRoomForModels) {
  const auto unset = build_catalog(with({}, "limits: {memory_budget: 1GiB}\n"));
  EXPECT_EQ(unset->limits.conversations, ByteSize::mib(64));
  EXPECT_EQ(unset->server.conversations_on_disk, ByteSize::gib(4));
  EXPECT_EQ(build_catalog(with({}, "limits: {memory_budget: 64GiB}\n"))->limits.conversations,
            ByteSize::mib(256));
  const auto set = build_catalog(with({}, "conversations: {memory: 0, disk: 0}\n"));
  EXPECT_EQ(set->limits.conversations, ByteSize());
  EXPECT_EQ(set->server.conversations_on_disk, ByteSize());
  EXPECT_THAT(error_of(with({}, "limits: {memory_budget: 1GiB}\nconversations: {memory: 1GiB}\n")),
              HasSubstr("leaves nothing of the memory budget"));
}

TEST_F(CatalogTest, LimitsByPrecedence) {
  Sources sources = with({}, "limits: {models_max: 2, memory_budget: 3GiB}\n");
  sources.environment = {{"models-max", "7"}};
  EXPECT_EQ(build_catalog(sources)->limits.models_max, 2U);
  EXPECT_EQ(build_catalog(sources)->limits.memory_budget, ByteSize::gib(3));
  sources.command_line = {{"models-max", "-1"}};
  sources.own.memory_budget = ByteSize::gib(1);
  EXPECT_EQ(build_catalog(sources)->limits.models_max, 0U);
  EXPECT_EQ(build_catalog(sources)->limits.memory_budget, ByteSize::gib(1));
  sources = with({});
  EXPECT_EQ(build_catalog(sources)->limits.models_max, 4U);
  sources.environment = {{"models-max", "7"}};
  EXPECT_EQ(build_catalog(sources)->limits.models_max, 7U);
}

class ServerSettingsTest : public CatalogTest {
 protected:
  Result<ServerSettings> build(std::vector<std::string> words, const std::string& yaml = {}) const {
    const ConfigFile file = *parse_config(yaml, (dir_ / "x.yaml").string());
    return build_server_settings(with(std::move(words)), file);
  }
};

TEST_F(ServerSettingsTest, CommandLineOverFileOverDefault) {
  const auto plain = build({});
  ASSERT_TRUE(plain);
  EXPECT_THAT(plain->hosts, ElementsAre("127.0.0.1"));
  EXPECT_EQ(plain->port, 8080);
  EXPECT_EQ(build({}, "server: {port: 9000}")->port, 9000);
  EXPECT_EQ(build({"--port", "0"}, "server: {port: 9000}")->port, 0);
  EXPECT_THAT(build({"--host", "127.0.0.1, ::1"})->hosts, ElementsAre("127.0.0.1", "::1"));
  EXPECT_FALSE(build({"--no-models-autoload"})->autoload);
  EXPECT_FALSE(build({}, "server: {autoload: false}")->autoload);
  EXPECT_EQ(build({"-v"})->log_level, 5);
  EXPECT_EQ(build({}, "log: {level: error}")->log_level, 1);
  EXPECT_EQ(build({"-lv", "2"}, "log: {level: error}")->log_level, 2);
  EXPECT_TRUE(build({}, "log: {format: json}")->log_json);
  EXPECT_EQ(build({}, "server: {models_dir: models}")->models_dir, (dir_ / "models").string());
  EXPECT_EQ(build({}, "server: {shutdown_timeout: 2m}")->shutdown_timeout, 2min);
  EXPECT_FALSE(build({"--port", "70000"}));
  EXPECT_FALSE(build({"--api-prefix", "x"}));
  EXPECT_FALSE(build({"--ssl-key-file", "k"}));
}

TEST_F(ServerSettingsTest, Keys) {
  const std::string file = write("keys", "# comment\none\n\ntwo\r\n");
  EXPECT_THAT(build({"--api-key", "a,b", "--api-key-file", file})->api_keys,
              ElementsAre("a", "b", "one", "two"));
  EXPECT_THAT(build({}, "server: {api_keys: [x], api_key_file: keys}")->api_keys,
              ElementsAre("x", "one", "two"));
  EXPECT_THAT(build({"--api-key", "a"}, "server: {api_keys: [x]}")->api_keys, ElementsAre("a"));
  EXPECT_FALSE(build({"--api-key-file", write("none", "# nothing\n")}));
  EXPECT_FALSE(build({}, "server: {api_key_file: /nonexistent}"));
}

TEST_F(ServerSettingsTest, OthersNeedAKey) {
  for (const char* host : {"127.0.0.1", "localhost", "::1", "/run/x.sock"}) {
    EXPECT_TRUE(check_exposure(*build({"--host", host}))) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "192.168.1.2", "127.0.0.1,0.0.0.0", "example.org"}) {
    const Status status = check_exposure(*build({"--host", host}));
    ASSERT_FALSE(status) << host;
    EXPECT_THAT(status.error().message, HasSubstr("--api-key"));
    EXPECT_TRUE(check_exposure(*build({"--host", host, "--api-key", "k"}))) << host;
  }
}

TEST_F(ServerSettingsTest, WhatIsNotThereIsRefused) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"--ui"},
                                             {"--webui"},
                                             {"--tools", "all"},
                                             {"--agent"},
                                             {"--mcp-servers-json", "{}"},
                                             {"--path", "/x"},
                                             {"--ui-mcp-proxy"},
                                             {"--log-file", "x"},
                                             {"--no-log-prefix"},
                                             {"--log-colors", "on"}}) {
    const auto settings = build(words);
    ASSERT_FALSE(settings) << words[0];
    EXPECT_EQ(settings.error().code, ErrorCode::kUnimplemented) << words[0];
  }
  for (const char* word : {"--no-ui", "--no-webui", "--no-agent", "--log-timestamps"}) {
    EXPECT_TRUE(build({word})) << word;
  }
}

}  // namespace
}  // namespace switchyard::config
