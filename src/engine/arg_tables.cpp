#include "engine/arg_tables.h"

#include <algorithm>
#include <array>

namespace switchyard::engine {
namespace {

constexpr std::string_view kEndsProcess = "llama.cpp ends the process on it";
constexpr std::string_view kNoUrl =
    "models are not fetched by URL while the server runs; use --hf-repo or download the file and give "
    "--model";
constexpr std::string_view kBudgetDecides =
    "the memory budget decides what fits (--memory-budget); give --ctx-size and --gpu-layers to fix the "
    "sizes";
constexpr std::string_view kTwoValues = "options with two values are not supported";
constexpr std::string_view kNamedModel = "give --hf-repo with the repository instead";

struct NamedRule {
  std::string_view name;
  ArgRule rule;
};

using enum ArgScope;

// By canonical name. What is not here is one model's.
constexpr NamedRule kRules[] = {
    {"usage", {kRefused, kEndsProcess}},
    {"version", {kRefused, kEndsProcess}},
    {"cache-list", {kRefused, kEndsProcess}},
    {"completion-bash", {kRefused, kEndsProcess}},
    {"list-devices", {kRefused, kEndsProcess}},
    {"model-url", {kRefused, kNoUrl}},
    {"mmproj-url", {kRefused, kNoUrl}},
    {"docker-repo", {kRefused, kNoUrl}},
    {"spec-draft-hf", {kRefused, "download the draft model (switchyard pull) and give --spec-draft-model"}},
    {"fit", {kRefused, kBudgetDecides}},
    {"fit-target", {kRefused, kBudgetDecides}},
    {"fit-ctx", {kRefused, kBudgetDecides}},
    {"control-vector-layer-range", {kRefused, kTwoValues}},
    {"embd-gemma-default", {kRefused, kNamedModel}},
    {"fim-qwen-1.5b-default", {kRefused, kNamedModel}},
    {"fim-qwen-3b-default", {kRefused, kNamedModel}},
    {"fim-qwen-7b-default", {kRefused, kNamedModel}},
    {"fim-qwen-7b-spec", {kRefused, kNamedModel}},
    {"fim-qwen-14b-spec", {kRefused, kNamedModel}},
    {"fim-qwen-30b-default", {kRefused, kNamedModel}},
    {"gpt-oss-20b-default", {kRefused, kNamedModel}},
    {"gpt-oss-120b-default", {kRefused, kNamedModel}},
    {"vision-gemma-4b-default", {kRefused, kNamedModel}},
    {"vision-gemma-12b-default", {kRefused, kNamedModel}},

    {"numa", {kProcess}},
    {"rpc", {kProcess}},
    {"log-disable", {kProcess}},
    {"log-file", {kProcess}},
    {"log-jsonl", {kProcess}},
    {"log-colors", {kProcess}},
    {"log-verbose", {kProcess}},
    {"log-verbosity", {kProcess}},
    {"log-prefix", {kProcess}},
    {"log-timestamps", {kProcess}},

    {"hf-token", {kServer}},
    {"offline", {kServer}},
    {"host", {kServer}},
    {"port", {kServer}},
    {"reuse-port", {kServer}},
    {"path", {kServer}},
    {"cors-origins", {kServer}},
    {"cors-methods", {kServer}},
    {"cors-headers", {kServer}},
    {"cors-credentials", {kServer}},
    {"api-prefix", {kServer}},
    {"webui", {kServer}},
    {"webui-config", {kServer}},
    {"webui-config-file", {kServer}},
    {"webui-mcp-proxy", {kServer}},
    {"tools", {kServer}},
    {"tools-runtime", {kServer}},
    {"mcp-servers-config", {kServer}},
    {"mcp-servers-json", {kServer}},
    {"agent", {kServer}},
    {"api-key", {kServer}},
    {"api-key-file", {kServer}},
    {"ssl-key-file", {kServer}},
    {"ssl-cert-file", {kServer}},
    {"timeout", {kServer}},
    {"threads-http", {kServer}},
    {"models-dir", {kServer}},
    {"models-preset", {kServer}},
    {"models-max", {kServer}},
    {"models-autoload", {kServer}},
};

}  // namespace

std::mutex& arg_tables_mutex() {
  static std::mutex mutex;
  return mutex;
}

const common_preset_context& arg_tables() {
  static const common_preset_context* const tables = new common_preset_context(LLAMA_EXAMPLE_SERVER);
  return *tables;
}

std::string canonical_name(const common_arg& option) {
  std::string_view name = option.args.back();
  for (const std::string_view candidate : option.args) {
    if (candidate.starts_with("--spec-")) {
      name = candidate;
      break;
    }
    if (candidate.starts_with("--")) name = candidate;
  }
  name.remove_prefix(std::min(name.find_first_not_of('-'), name.size()));
  return std::string(name);
}

ArgRule rule_of(std::string_view canonical_name) {
  const auto* found =
      std::ranges::find_if(kRules, [&](const NamedRule& named) { return named.name == canonical_name; });
  return found == std::end(kRules) ? ArgRule{} : found->rule;
}

}  // namespace switchyard::engine
