#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/config_file.h"
#include "config/duration.h"

namespace switchyard::config {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

TEST(Durations, Forms) {
  const std::vector<std::pair<std::string, Duration>> good = {
      {"500ms", 500ms}, {"30s", 30s},     {"5m", 5min}, {"1h", 1h},
      {"2d", 48h},      {"1h30m", 90min}, {"0", 0s},    {"1.5s", 1500ms},
  };
  for (const auto& [text, expected] : good) {
    const auto duration = parse_duration(text);
    ASSERT_TRUE(duration) << text;
    EXPECT_EQ(*duration, expected) << text;
    EXPECT_EQ(parse_duration(format_duration(expected)), expected) << text;
  }
  for (const char* text :
       {"", "5", "m", "5 m", "-5m", "5x", "5m6", "1e3s", "nan", "infs", "99999999d", "5min"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

constexpr const char* kGood = R"(
limits:   {memory_budget: 12GiB, models_max: 3, max_wait: 7s}
defaults: {args: {ctx-size: 8192, parallel: 4}, park_after: 10m}
models:
  - id: smollm2
    versions:
      - {version: "1", file: a.gguf, sha256: null, args: {parallel: 8}}
      - {version: "2", file: b.gguf, args: {lora: [x.gguf, y.gguf], no-warmup: true}}
    pin: false
    preload: true
    park_after: 5m
    unload_after: 1h
    weight: 2.5
  - {id: gemma, file: g.gguf, names: [g, gg], tags: small, args: {c: 512}}
aliases:
  - {name: chat, to: smollm2@1}
server:
  default_model: chat
  port: 0
  api_keys: [one, two]
)";

TEST(ConfigFile, ReadsTheWholeExample) {
  const auto config = parse_config(kGood, "x.yaml");
  ASSERT_TRUE(config) << config.error().to_string();
  EXPECT_EQ(config->limits.memory_budget, ByteSize::gib(12));
  EXPECT_EQ(config->limits.models_max, 3U);
  EXPECT_EQ(config->limits.max_wait, 7s);
  EXPECT_THAT(config->defaults.args, UnorderedElementsAre(Pair("ctx-size", "8192"), Pair("parallel", "4")));
  EXPECT_EQ(config->defaults.settings.park_after, 10min);
  ASSERT_EQ(config->models.size(), 2U);
  const ModelSection& model = config->models[0];
  EXPECT_EQ(model.line, 5);
  ASSERT_EQ(model.versions.size(), 2U);
  EXPECT_EQ(model.versions[0].sha256, "");
  EXPECT_THAT(model.versions[1].args,
              UnorderedElementsAre(Pair("lora", "x.gguf,y.gguf"), Pair("warmup", "false")));
  EXPECT_EQ(model.settings.pin, false);
  EXPECT_EQ(model.settings.preload, true);
  EXPECT_EQ(model.settings.unload_after, 1h);
  EXPECT_EQ(model.settings.weight, 2.5);
  EXPECT_THAT(config->models[1].names, ElementsAre("g", "gg"));
  EXPECT_THAT(config->models[1].tags, ElementsAre("small"));
  EXPECT_THAT(config->models[1].args, UnorderedElementsAre(Pair("ctx-size", "512")));
  ASSERT_EQ(config->aliases.size(), 1U);
  EXPECT_EQ(config->aliases[0].to, "smollm2@1");
  EXPECT_EQ(config->server.port, 0U);
  EXPECT_EQ(config->server.default_model_line, 18);
}

TEST(ConfigFile, AnEmptyFileIsFine) {
  for (const char* text : {"", "# nothing\n", "models:\n", "limits: {}\nmodels: []\n", "---\n"}) {
    const auto config = parse_config(text, "x.yaml");
    EXPECT_TRUE(config) << text << (config ? "" : config.error().message);
  }
}

TEST(ConfigFile, FaultsNameFileLineAndWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"limit: {}\n", "x.yaml:1: unknown key 'limit' in the file; did you mean 'limits'"},
      {"limits:\n  memory_bugdet: 1GiB\n",
       "x.yaml:2: unknown key 'memory_bugdet' in limits; did you mean 'memory_budget'"},
      {"limits:\n  memory_budget: lots\n", "x.yaml:2: "},
      {"limits: {memory_budget: 0}\n", "x.yaml:1: the size must be above 0"},
      {"conversations: {memory: lots}\n", "x.yaml:1: "},
      {"conversations:\n  memmory: 1GiB\n",
       "x.yaml:2: unknown key 'memmory' in conversations; did you mean 'memory'"},
      {"log: {format: jsn}\n", "x.yaml:1: 'jsn' is none of text, json; did you mean 'json'"},
      {"log: {level: loud}\n", "x.yaml:1: 'loud' is none of error, warning, info, debug"},
      {"log:\n  promts: true\n", "x.yaml:2: unknown key 'promts' in log; did you mean 'prompts'"},
      {"limits:\n  max_queue: -3\n", "x.yaml:2: '-3' is not a whole number"},
      {"limits: {max_bodies: 0}\n", "x.yaml:1: the size must be above 0"},
      {"server: {allowed_dirs: [[a]]}\n", "x.yaml:1: "},
      {"defaults: {health: {intervall: 1s}}\n",
       "x.yaml:1: unknown key 'intervall' in health; did you mean 'interval'"},
      {"defaults: {health: {healthy: 5s, degraded: 1s}}\n", "x.yaml:1: 'healthy' is more than 'degraded'"},
      {"limits:\n  models_max: many\n", "x.yaml:2: 'many' is not a whole number"},
      {"limits:\n  models_max: -1\n", "x.yaml:2: '-1' is not a whole number"},
      {"limits:\n  models_max: [1]\n", "x.yaml:2: a single value is needed here, not a list"},
      {"limits:\n  max_wait: 5\n", "x.yaml:2: '5' is no length of time; write 500ms"},
      {"limits: 3\n", "x.yaml:1: limits must be a mapping"},
      {"limits: {}\nlimits: {}\n", "x.yaml:2: 'limits' is given twice"},
      {"models: {id: a}\n", "x.yaml:1: models must be a list"},
      {"models:\n  - {file: a.gguf}\n", "x.yaml:2: a model needs an id"},
      {"models:\n  - just text\n", "x.yaml:2: models[] must be a mapping"},
      {"models:\n  - {id: a, file: a}\n  - {id: a, file: b}\n", "x.yaml:3: 'a' is taken already (line 2)"},
      {"models:\n  - {id: a, file: a, names: [b]}\n  - {id: b, file: b}\n",
       "x.yaml:3: 'b' is taken already (line 2)"},
      {"models:\n  - {id: a@b, file: a}\n", "x.yaml:2: 'a@b' is no name"},
      {"models:\n  - {id: a, file: a, pin: maybe}\n", "x.yaml:2: 'maybe' is not true or false"},
      {"models:\n  - {id: a, file: a, weight: 0}\n", "x.yaml:2: '0' is not a number above 0"},
      {"models:\n  - {id: a, file: a, weight: nan}\n", "x.yaml:2: 'nan' is not a number above 0"},
      {"models:\n  - {id: a, file: a, sha256: abc}\n", "x.yaml:2: a SHA-256 has 64 hex digits"},
      {"models:\n  - id: a\n    versions: []\n", "x.yaml:3: versions has no entry"},
      {"models:\n  - id: a\n    versions:\n      - {file: f}\n",
       "x.yaml:4: a version of model 'a' needs a name"},
      {"models:\n  - id: a\n    versions:\n      - {version: 1}\n",
       "x.yaml:4: version '1' of model 'a' needs a file"},
      {"models:\n  - id: a\n    versions:\n      - {version: 1, file: f}\n      - {version: 1, file: g}\n",
       "x.yaml:5: model 'a' has version '1' twice"},
      {"models:\n  - id: a\n    file: f\n    versions:\n      - {version: 1, file: f}\n",
       "x.yaml:2: model 'a' has both"},
      {"models:\n  - id: a\n    file: f\n    args:\n      ctx-sise: 1\n",
       "x.yaml:5: unknown option 'ctx-sise'; did you mean 'ctx-size'"},
      {"defaults:\n  args:\n    ctx-size: big\n", "x.yaml:3: option 'ctx-size' does not take 'big'"},
      {"defaults:\n  args:\n    c: 1\n    ctx-size: 2\n", "x.yaml:4: 'ctx-size' gives 'ctx-size' again"},
      {"defaults:\n  args:\n    host: 0.0.0.0\n", "x.yaml:3: 'host' is an option of the whole server"},
      {"defaults:\n  args:\n    verbose: true\n", "x.yaml:3: 'verbose' is an option of the whole server"},
      {"defaults:\n  args:\n    version: true\n", "x.yaml:3: option 'version' is not available here"},
      {"defaults:\n  args:\n    model: a.gguf\n", "x.yaml:3: give the model's file as 'file'"},
      {"defaults:\n  args:\n    jinja:\n", "x.yaml:3: an option needs a value"},
      {"defaults:\n  args: [a]\n", "x.yaml:2: args must be a mapping"},
      {"aliases:\n  - {name: a}\n", "x.yaml:2: an alias needs a name and a 'to'"},
      {"models:\n  - {id: a, file: f}\naliases:\n  - {name: a, to: a}\n",
       "x.yaml:4: 'a' is taken already (line 2)"},
      {"server:\n  port: 70000\n", "x.yaml:2: a port is at most 65535"},
      {"server: {tls_key_file: k}\n", "x.yaml:1: tls_key_file and tls_cert_file are needed both"},
      {"models:\n  - {id: a\n", "x.yaml:3: "},
      {"a: b: c\n", "x.yaml:1: "},
      {"- a\n", "x.yaml:1: the file must be a mapping"},
      {"just text\n", "x.yaml:1: the file must be a mapping"},
      {"limits: {}\n---\nmodels: []\n", "x.yaml:2: the file must be one YAML document, not several"},
      {"? [a]\n: b\n", "x.yaml:1: a key of the file must be a plain word"},
  };
  for (const auto& [text, expected] : cases) {
    const auto config = parse_config(text, "x.yaml");
    ASSERT_FALSE(config) << text;
    EXPECT_EQ(config.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(config.error().message, HasSubstr(expected)) << text;
  }
}

TEST(ConfigFile, ReportsAllFaultsAtOnce) {
  const auto config =
      parse_config("limits: {models_max: x}\nmodel: []\ndefaults: {args: {threads: y}}\n", "x.yaml");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr("x.yaml:1: 'x'"));
  EXPECT_THAT(config.error().message, HasSubstr("\nx.yaml:2: unknown key 'model'"));
  EXPECT_THAT(config.error().message, HasSubstr("\nx.yaml:3: option 'threads'"));
}

TEST(ConfigFile, DeepNestingAndOddBytesAreErrors) {
  for (const char* open : {"[", "{", "- "}) {
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += open;
    const auto config = parse_config(deep, "x.yaml");
    ASSERT_FALSE(config);
    EXPECT_THAT(config.error().message, HasSubstr("x.yaml:1: brackets or lists are nested too deeply"));
  }
  EXPECT_FALSE(parse_config(std::string("models: \xff\xfe\x00\x01", 12), "x.yaml"));
  EXPECT_FALSE(parse_config("models: *nobody\n", "x.yaml"));
  EXPECT_FALSE(parse_config(",[", "x.yaml")) << "yaml-cpp sees documents without end";
}

TEST(ConfigFile, MissingAndTooLarge) {
  EXPECT_EQ(load_config_file("/nonexistent.yaml").error().code, ErrorCode::kNotFound);
  for (const char* odd : {"/", "/dev/zero"}) {
    EXPECT_THAT(load_config_file(odd).error().message, HasSubstr("is no regular file"));
  }
}

TEST(Isolation, FaultsAreNamed) {
  const auto config = parse_config(R"(
models:
  - {id: a, file: a.gguf, isolation: proces}
  - {id: b, file: b.gguf, worker_cpus: 3-1}
  - {id: c, file: c.gguf, worker_nice: 20}
  - {id: d, file: d.gguf, worker_memory: 0}
)",
                                   "x.yaml");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message,
              AllOf(HasSubstr("x.yaml:3: 'proces' is no isolation"), HasSubstr("process"),
                    HasSubstr("x.yaml:4: '3-1' is no list of processors"),
                    HasSubstr("x.yaml:5: nice is from 0 to 19"), HasSubstr("x.yaml:6: ")));
}

TEST(Isolation, ProcessorsAreRangesAndNumbers) {
  EXPECT_THAT(*parse_cpus("0-2,8"), ElementsAre(0, 1, 2, 8));
  EXPECT_THAT(*parse_cpus("1,0,1"), ElementsAre(0, 1));
  for (const char* wrong : {"", "a", "1-", "-1", "1,,2", "0-1024", "99999999999"})
    EXPECT_FALSE(parse_cpus(wrong)) << wrong;
}

std::string documentation() {
  std::ifstream file(std::string(SWITCHYARD_SOURCE_DIR) + "/docs/configuration.md");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Documentation, HasEveryKeyAndNoOther) {
  const std::string page = documentation();
  std::string section = "?";
  std::size_t rows = 0;
  for (const DocumentedKey& key : documented_keys()) {
    if (key.section != section) {
      section = key.section;
      const std::string heading = section.empty() ? "### Top level\n" : "### `" + section + "`\n";
      EXPECT_THAT(page, HasSubstr(heading));
    }
    const std::string fallback(key.fallback);
    EXPECT_THAT(page,
                HasSubstr("| `" + std::string(key.name) + "` | " + std::string(key.type) + " | " + fallback +
                          (fallback.empty() ? "| " : " | ") + std::string(key.meaning) + " |\n"));
    ++rows;
  }
  std::size_t documented = 0;
  for (std::size_t at = 0; (at = page.find("\n| `", at)) != std::string::npos; ++at) ++documented;
  EXPECT_EQ(documented, rows);
}

TEST(Documentation, ItsExampleLoads) {
  const std::string page = documentation();
  const std::size_t begin = page.find("```yaml\n");
  ASSERT_NE(begin, std::string::npos);
  const std::size_t end = page.find("```", begin + 8);
  const auto config = parse_config(page.substr(begin + 8, end - begin - 8), "docs/configuration.md");
  ASSERT_TRUE(config) << config.error().to_string();
  // It names every key there is.
  for (const DocumentedKey& key : documented_keys()) {
    EXPECT_THAT(page.substr(begin, end - begin), HasSubstr(std::string(key.name) + ":")) << key.section;
  }
}

}  // namespace
}  // namespace switchyard::config
