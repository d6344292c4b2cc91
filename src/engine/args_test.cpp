#include "engine/args.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/arg_tables.h"
#include "engine/ini_text.h"

namespace switchyard::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

/// A file that stays until the tests end.
std::string path_of(const std::string& name, const std::string& text) {
  struct Files {
    ~Files() {
      std::error_code gone;
      for (const std::string& path : paths) std::filesystem::remove(path, gone);
    }
    std::vector<std::string> paths;
  };
  static Files files;
  const std::string path = testing::TempDir() + "args_test_" + std::to_string(getpid()) + "_" + name;
  std::ofstream(path) << text;
  files.paths.push_back(path);
  return path;
}

std::string error_of(const std::string& key, const std::string& value) {
  const auto arg = canonical_arg(key, value);
  return arg ? "no error: " + arg->name + "=" + arg->value : arg.error().to_string();
}

TEST(CanonicalArg, EverySpellingGivesOneName) {
  for (const char* key : {"c", "ctx-size", "ctx_size", "LLAMA_ARG_CTX_SIZE"}) {
    const auto arg = canonical_arg(key, "4096");
    ASSERT_TRUE(arg) << key << ": " << arg.error().to_string();
    EXPECT_EQ(arg->name, "ctx-size") << key;
    EXPECT_EQ(arg->value, "4096") << key;
    EXPECT_EQ(arg->scope, ArgScope::kModel);
  }
  EXPECT_EQ(canonical_arg("ngl", "99")->name, "n-gpu-layers");
  EXPECT_EQ(canonical_arg("md", "draft.gguf")->name, "spec-draft-model");
  EXPECT_EQ(canonical_arg("np", "2")->name, "parallel");
}

TEST(CanonicalArg, EverySpellingOfEveryOptionIsKnown) {
  for (const auto& [key, option] : arg_tables().key_to_opt) {
    const std::string name = canonical_name(option);
    ASSERT_TRUE(arg_tables().key_to_opt.contains(name)) << key;
    EXPECT_EQ(canonical_name(arg_tables().key_to_opt.at(name)), name) << key;
  }
}

TEST(CanonicalArg, FlagsAreTrueOrFalse) {
  const std::vector<std::tuple<std::string, std::string, std::string>> cases = {
      {"warmup", "on", "true"},    {"warmup", "0", "false"},        {"no-warmup", "true", "false"},
      {"no_warmup", "1", "false"}, {"no-warmup", "off", "true"},    {"LLAMA_ARG_NO_KV_OFFLOAD", "1", "false"},
      {"nkvo", "true", "false"},   {"swa-full", "enabled", "true"}, {"swa-full", "false", "false"},
  };
  for (const auto& [key, value, expected] : cases) {
    const auto arg = canonical_arg(key, value);
    ASSERT_TRUE(arg) << key << ": " << arg.error().to_string();
    EXPECT_EQ(arg->value, expected) << key << " = " << value;
  }
  EXPECT_THAT(error_of("warmup", "maybe"), HasSubstr("true or false"));
}

TEST(CanonicalArg, ValuesAreCheckedByLlamaCppsHandlers) {
  EXPECT_THAT(error_of("parallel", "many"), HasSubstr("a whole number is needed"));
  EXPECT_THAT(error_of("parallel", "4x"), HasSubstr("a whole number is needed"));
  EXPECT_THAT(error_of("ctx-size", "99999999999"), HasSubstr("a whole number is needed"));
  EXPECT_THAT(error_of("cache-type-k", "q9_9"), HasSubstr("Unsupported cache type: q9_9"));
  EXPECT_THAT(error_of("flash-attn", "perhaps"), HasSubstr("option 'flash-attn' does not take 'perhaps'"));
  EXPECT_THAT(error_of("chat-template-file", "/nonexistent/t.jinja"), HasSubstr("failed to open"));
  EXPECT_THAT(error_of("draft-max", "4"), HasSubstr("has been removed"));
}

TEST(CanonicalArg, UnknownNamesGetTheNearest) {
  EXPECT_THAT(error_of("--ctx-size", "1"), HasSubstr("it has no dashes: 'ctx-size'"));
  EXPECT_THAT(error_of("ctx-sise", "1"), HasSubstr("unknown option 'ctx-sise'; did you mean 'ctx-size'"));
  EXPECT_THAT(error_of("paralel", "1"), HasSubstr("'parallel'"));
  EXPECT_THAT(error_of("", ""), HasSubstr("unknown option"));
}

TEST(CanonicalArg, WhatEndsTheProcessIsRefusedAndNeverRun) {
  for (const char* key :
       {"version", "help", "usage", "h", "cache-list", "cl", "completion-bash", "list-devices"}) {
    const auto arg = canonical_arg(key, "true");
    ASSERT_FALSE(arg) << key;
    EXPECT_EQ(arg.error().code, ErrorCode::kUnimplemented) << key;
  }
  EXPECT_THAT(error_of("fit", "on"), HasSubstr("memory budget"));
  EXPECT_THAT(error_of("model-url", "http://x/y.gguf"), HasSubstr("--hf-repo"));
}

// A rule for a name that llama.cpp no longer has would be a hole: the option under its new name
// would count as a model's.
TEST(CanonicalArg, RulesNameRealOptions) {
  for (const char* name :
       {"usage", "version", "cache-list", "completion-bash", "list-devices", "webui", "webui-config",
        "webui-config-file", "webui-mcp-proxy", "tools", "tools-runtime", "mcp-servers-config",
        "mcp-servers-json", "agent", "ssl-key-file", "threads-http"}) {
    const auto found = arg_tables().key_to_opt.find(name);
    ASSERT_NE(found, arg_tables().key_to_opt.end()) << name;
    EXPECT_EQ(canonical_name(found->second), name);
    EXPECT_NE(scope_of(name), ArgScope::kModel) << name;
  }
}

TEST(CanonicalArg, ScopesTellServerAndProcess) {
  EXPECT_EQ(canonical_arg("host", "0.0.0.0")->scope, ArgScope::kServer);
  EXPECT_EQ(canonical_arg("no-webui", "true")->scope, ArgScope::kServer);
  EXPECT_EQ(canonical_arg("no-ui", "true")->value, "false");
  EXPECT_EQ(canonical_arg("models-max", "2")->scope, ArgScope::kServer);
  EXPECT_EQ(canonical_arg("v", "true")->scope, ArgScope::kProcess);
  EXPECT_EQ(canonical_arg("numa", "distribute")->scope, ArgScope::kProcess);
  EXPECT_EQ(canonical_arg("metrics", "true")->scope, ArgScope::kModel);
  EXPECT_EQ(canonical_arg("stop-timeout", "3")->scope, ArgScope::kModel);
}

TEST(CanonicalArg, LogOptionsDoNotActWhenChecked) {
  const std::string path = testing::TempDir() + "never_made_" + std::to_string(getpid()) + ".log";
  ASSERT_TRUE(canonical_arg("log-file", path));
  ASSERT_TRUE(canonical_arg("log-prompts-dir", path));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(CommandLine, WordsBecomeOptions) {
  const std::vector<std::string> words = {"-c",       "4096", "--no-warmup", "--jinja",   "--ctx_size=2048",
                                          "-np",      "2",    "--host",      "127.0.0.1", "--override-kv",
                                          "a.b=int:3"};
  const auto args = parse_command_line(words);
  ASSERT_TRUE(args) << args.error().to_string();
  EXPECT_THAT(*args, UnorderedElementsAre(Pair("ctx-size", "2048"), Pair("warmup", "false"),
                                          Pair("jinja", "true"), Pair("parallel", "2"),
                                          Pair("host", "127.0.0.1"), Pair("override-kv", "a.b=int:3")));
}

TEST(CommandLine, ListsAddUpAndOthersOverride) {
  const std::vector<std::string> words = {"--lora",    "a.gguf", "--lora",    "b.gguf", "--api-key", "x",
                                          "--api-key", "y",      "--threads", "1",      "-t",        "2"};
  const auto args = parse_command_line(words);
  ASSERT_TRUE(args) << args.error().to_string();
  EXPECT_THAT(*args, UnorderedElementsAre(Pair("lora", "a.gguf,b.gguf"), Pair("api-key", "x,y"),
                                          Pair("threads", "2")));
  const std::vector<std::string> twice = {"--logit-bias", "1+1", "--logit-bias", "2+1"};
  EXPECT_FALSE(parse_command_line(twice));
}

TEST(CommandLine, BadWords) {
  const std::vector<std::string> own = {"--memory-budget", "--config"};
  const auto error = [&](std::vector<std::string> words) {
    const auto args = parse_command_line(words, own);
    return args ? std::string("none") : args.error().message;
  };
  EXPECT_THAT(error({"--ctx-size"}), HasSubstr("needs a value"));
  EXPECT_THAT(error({"model.gguf"}), HasSubstr("is no option"));
  EXPECT_THAT(error({"--"}), HasSubstr("is no option"));
  EXPECT_THAT(error({"--memory-budgte", "1G"}), HasSubstr("did you mean '--memory-budget'"));
  EXPECT_THAT(error({"--LLAMA_ARG_CTX_SIZE", "1"}), HasSubstr("unknown option"));
  EXPECT_THAT(error({"--load-on-startup", "1"}), HasSubstr("unknown option"));
  EXPECT_THAT(error({"--version"}), HasSubstr("not available"));
}

TEST(CommandLine, RoundTrip) {
  const ArgMap args = {{"ctx-size", "2048"}, {"warmup", "false"}, {"jinja", "true"}, {"stop-timeout", "3"}};
  EXPECT_THAT(to_command_line(args), ElementsAre("--ctx-size", "2048", "--jinja", "--no-warmup"));
  const ArgMap back = *parse_command_line(to_command_line(args));
  EXPECT_THAT(back,
              UnorderedElementsAre(Pair("ctx-size", "2048"), Pair("warmup", "false"), Pair("jinja", "true")));
}

TEST(Environment, VariablesBecomeOptions) {
  setenv("LLAMA_ARG_CTX_SIZE", "1234", 1);
  setenv("LLAMA_ARG_NO_KV_OFFLOAD", "anything", 1);
  const auto args = args_from_environment();
  setenv("LLAMA_ARG_CTX_SIZE", "big", 1);
  const auto bad = args_from_environment();
  unsetenv("LLAMA_ARG_CTX_SIZE");
  unsetenv("LLAMA_ARG_NO_KV_OFFLOAD");
  ASSERT_TRUE(args) << args.error().to_string();
  EXPECT_EQ(args->at("ctx-size"), "1234");
  EXPECT_EQ(args->at("kv-offload"), "false");
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, HasSubstr("environment variable LLAMA_ARG_CTX_SIZE"));
}

constexpr const char* kPresets = R"(
version = 1
; for all
[*]
c = 8192   ; tokens
no-warmup = true

[small]
model = /m/small.gguf
load-on-startup = true
stop-timeout = 5 # seconds
[user/name:q4_k_m]
hf-repo = user/name:Q4_K_M
temp = 0.5
)";

TEST(IniPresets, SectionsAndCommonOnes) {
  const auto presets = load_ini_presets(path_of("good.ini", kPresets));
  ASSERT_TRUE(presets) << presets.error().to_string();
  EXPECT_THAT(presets->sections.at("*"),
              UnorderedElementsAre(Pair("ctx-size", "8192"), Pair("warmup", "false")));
  EXPECT_THAT(presets->sections.at("small"),
              UnorderedElementsAre(Pair("model", "/m/small.gguf"), Pair("load-on-startup", "true"),
                                   Pair("stop-timeout", "5")));
  EXPECT_THAT(presets->sections.at("user/name:Q4_K_M"),
              UnorderedElementsAre(Pair("hf-repo", "user/name:Q4_K_M"), Pair("temperature", "0.5")));
}

// The reader is our own for its line numbers; what it reads is what llama.cpp's reads.
TEST(IniPresets, ReadsWhatLlamaCppReads) {
  const char* const texts[] = {
      kPresets,
      "[a]\nmodel=x\r\nctx-size\t=\t1\r[b]\n\n  \n",
      "model = before any section\n[a]\nmodel = x=y\n",
      "[ spaced ] ; comment\nmodel = a b  c   # d\n",
      "[x]\nmodel =\n[y:iq2-xs]\nmodel = 1",
      "",
  };
  for (const char* text : texts) {
    const std::string path = path_of("same.ini", text);
    const auto ours = load_ini_presets(path);
    ASSERT_TRUE(ours) << ours.error().to_string() << " in\n" << text;
    common_preset global;
    std::map<std::string, ArgMap> theirs;
    common_presets loaded = arg_tables().load_from_ini(path, global);
    if (!global.options.empty()) loaded["*"] = global;
    for (const auto& [name, preset] : loaded) {
      const std::size_t end = name.find_last_not_of(' ');
      ArgMap& args = theirs[name.substr(0, end + 1)];
      for (const auto& [option, value] : preset.options) args[canonical_name(option)] = value;
    }
    EXPECT_EQ(ours->sections, theirs) << text;
  }
}

TEST(IniPresets, OptionsOfTheWholeServerAreLeftOutWithANote) {
  const std::string path = path_of("server.ini",
                                   "[*]\nport = 1\nc = 2\n[a]\nmodel = /m\nLLAMA_API_KEY = x\n"
                                   "models-max = 1\nlog-verbosity = 2\n");
  const auto presets = load_ini_presets(path);
  ASSERT_TRUE(presets) << presets.error().to_string();
  EXPECT_THAT(presets->sections.at("*"), ElementsAre(Pair("ctx-size", "2")));
  EXPECT_THAT(presets->sections.at("a"), ElementsAre(Pair("model", "/m")));
  EXPECT_THAT(presets->notes, ElementsAre(HasSubstr(path + ":2: section [*]: 'port' is left out"),
                                          HasSubstr(":6: section [a]: 'LLAMA_API_KEY' is left out"),
                                          HasSubstr("models-max"), HasSubstr("log-verbosity")));
}

TEST(IniPresets, ErrorsNameFileLineAndKey) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[a]\nctx-sise = 1\n", ":2: section [a]: unknown option 'ctx-sise'; did you mean 'ctx-size'"},
      {"[a]\n\nctx-size = big\n", ":3: section [a]: option 'ctx-size' does not take 'big'"},
      {"[a]\nc = 1\nctx-size = 2\n", ":3: section [a]: 'ctx-size' gives 'ctx-size' again"},
      {"[a]\nc = 1\nc = 2\n", ":3: 'c' is given twice in section [a]"},
      {"[a]\nc = 1\n[b]\n[a]\n", ":4: section [a] is given twice (first in line 1)"},
      {"[a\n", ":1: '[' without ']'"},
      {"[]\n", ":1: a section needs a name"},
      {"[a] b\n", ":1: 'b' after the section's name"},
      {"what is this\n", ":1: 'what is this' is neither"},
      {"[a]\n1x = 2\n", ":2: '1x = 2' is neither"},
      {"[a]\nversion = 1\nhelp = true\n", ":3: section [a]: option 'usage' is not available here"},
  };
  for (const auto& [text, expected] : cases) {
    const std::string path = path_of("bad.ini", text);
    const auto presets = load_ini_presets(path);
    ASSERT_FALSE(presets) << text;
    EXPECT_THAT(presets.error().message, HasSubstr(path + expected)) << text;
  }
  EXPECT_EQ(load_ini_presets("/nonexistent/x.ini").error().code, ErrorCode::kNotFound);
  const auto folder = load_ini_presets("/");
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(load_ini_presets(path_of("empty.ini", "")));
}

TEST(ModelsDir, FilesAndFoldersAsTheRouterFindsThem) {
  const std::filesystem::path dir = testing::TempDir() + "models_" + std::to_string(getpid());
  std::filesystem::create_directories(dir / "vision");
  std::filesystem::create_directories(dir / "empty");
  for (const char* name : {"one.gguf", "mmproj-one.gguf", "notes.txt", "vision/v-00001-of-00002.gguf",
                           "vision/v-00002-of-00002.gguf", "vision/mmproj-v.gguf"}) {
    std::ofstream(dir / name) << "x";
  }
  const auto models = scan_models_dir(dir);
  std::filesystem::remove_all(dir);
  ASSERT_TRUE(models) << models.error().to_string();
  EXPECT_THAT(
      *models,
      UnorderedElementsAre(
          Pair("one", UnorderedElementsAre(Pair("model", (dir / "one.gguf").string()))),
          Pair("vision", UnorderedElementsAre(Pair("model", (dir / "vision/v-00001-of-00002.gguf").string()),
                                              Pair("mmproj", (dir / "vision/mmproj-v.gguf").string())))));
  EXPECT_EQ(scan_models_dir(dir).error().code, ErrorCode::kNotFound);
}

TEST(OptionNames, LeaveOutTheRefused) {
  const std::vector<std::string> names = option_names();
  EXPECT_THAT(names, testing::Contains("--ctx-size"));
  EXPECT_THAT(names, testing::Contains("--no-warmup"));
  EXPECT_THAT(names, testing::Not(testing::Contains("--version")));
}

}  // namespace
}  // namespace switchyard::engine
