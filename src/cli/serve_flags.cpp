#include "cli/serve_flags.h"

#include <fmt/format.h>

#include <cstdlib>
#include <optional>
#include <string_view>

#include "config/duration.h"
#include "config/isolation.h"
#include "engine/args.h"

namespace switchyard::cli {
namespace {

struct OwnFlag {
  std::string_view name;
  std::string_view hint;
  std::string_view help;
  Status (*read)(const std::string& value, config::OwnOptions& out);
};

Status read_time(const std::string& value, std::optional<Duration>& out) {
  const Result<Duration> time = config::parse_duration(value);
  if (!time) return std::unexpected(time.error());
  out = *time;
  return {};
}

constexpr OwnFlag kOwn[] = {
    {"--config", "FILE", "YAML file: limits, models, aliases (docs/configuration.md)",
     [](const std::string& value, config::OwnOptions& out) -> Status {
       out.config_path = value;
       return {};
     }},
    {"--memory-budget", "SIZE",
     "bytes that all models together may take (default: what the machine has, less 10 %)",
     [](const std::string& value, config::OwnOptions& out) -> Status {
       const Result<ByteSize> size = ByteSize::parse(value);
       if (!size) return std::unexpected(size.error());
       if (*size == ByteSize()) return fail(ErrorCode::kInvalidArgument, "the budget must be above 0");
       out.memory_budget = *size;
       return {};
     }},
    {"--admin-key-file", "FILE", "a key with every right; made, with a new key, where there is no such file",
     [](const std::string& value, config::OwnOptions& out) -> Status {
       if (value.empty()) return fail(ErrorCode::kInvalidArgument, "it needs a path");
       out.admin_key_file = value;
       return {};
     }},
    {"--default-model", "NAME",
     "answers requests that name no model (default: the only model, if there is one)",
     [](const std::string& value, config::OwnOptions& out) -> Status {
       out.default_model = value;
       return {};
     }},
    {"--data-dir", "DIR",
     "what is kept over restarts (default: $XDG_DATA_HOME/switchyard or ~/.local/share/switchyard)",
     [](const std::string& value, config::OwnOptions& out) -> Status {
       out.data_dir = value;
       return {};
     }},
    {"--shutdown-timeout", "TIME", "longest wait for held and running requests at the end (default: 30s)",
     [](const std::string& value, config::OwnOptions& out) {
       return read_time(value, out.shutdown_timeout);
     }},
    {"--log-format", "FORMAT", "how the log is written: text or json, an object a line (default: text)",
     [](const std::string& value, config::OwnOptions& out) -> Status {
       if (value != "text" && value != "json")
         return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is neither text nor json", value));
       out.log_format = value;
       return {};
     }},
    {"--isolation", "WHERE",
     "where engines live whose model does not say: none (this process) or process (a worker each)",
     [](const std::string& value, config::OwnOptions& out) -> Status {
       const Result<engine::Isolation> isolation = config::parse_isolation(value);
       if (!isolation) return std::unexpected(isolation.error());
       out.isolation = *isolation;
       return {};
     }},
    {"--watch", "TIME",
     "looks that often for changed models and configuration, and reloads them (default: never)",
     [](const std::string& value, config::OwnOptions& out) { return read_time(value, out.watch); }},
};

/// Takes one of our own flags at `words[i]`, moving `i` over its value. False when it is none of ours.
Result<bool> take_own(std::span<const std::string> words, std::size_t& i, config::OwnOptions& out) {
  const std::string& word = words[i];
  const std::size_t equals = word.find('=');
  const std::string name = word.substr(0, equals);
  for (const OwnFlag& flag : kOwn) {
    if (flag.name != name) continue;
    if (equals == std::string::npos && i + 1 == words.size()) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("{} needs a value: {} {}", name, name, flag.hint));
    }
    const Status read = flag.read(equals == std::string::npos ? words[++i] : word.substr(equals + 1), out);
    if (!read) return fail(read.error().code, fmt::format("{}: {}", name, read.error().message));
    return true;
  }
  return false;
}

/// Vertex AI starts containers with these variables and expects its own protocol.
Status refuse_vertex() {
  const char* const mode = std::getenv("AIP_MODE");
  if (mode == nullptr || std::string_view(mode) != "PREDICTION") return {};
  return fail(
      ErrorCode::kUnimplemented,
      "AIP_MODE=PREDICTION asks for Vertex AI's prediction protocol, which this server does not have; "
      "unset AIP_MODE");
}

}  // namespace

Result<ServeFlags> parse_serve_flags(std::span<const std::string> words) {
  ServeFlags flags;
  std::vector<std::string> rest, own_names;
  for (const OwnFlag& flag : kOwn) own_names.emplace_back(flag.name);
  own_names.emplace_back("--json");
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--help" || words[i] == "-h")
      flags.help = ServeFlags::Help::kOwn;
    else if (words[i] == "--help-all")
      flags.help = ServeFlags::Help::kAll;
    else if (words[i] == "--json")
      flags.json = true;
    else {
      const Result<bool> taken = take_own(words, i, flags.sources.own);
      if (!taken) return std::unexpected(taken.error());
      if (!*taken) rest.push_back(words[i]);
    }
  }
  if (flags.help != ServeFlags::Help::kNone) return flags;
  if (const Status spoken = refuse_vertex(); !spoken) return std::unexpected(spoken.error());
  Result<engine::ArgMap> command_line = engine::parse_command_line(rest, own_names);
  if (!command_line) return std::unexpected(command_line.error());
  flags.sources.command_line = std::move(*command_line);
  Result<engine::ArgMap> environment = engine::args_from_environment();
  if (!environment) return std::unexpected(environment.error());
  flags.sources.environment = std::move(*environment);
  return flags;
}

std::string serve_help() {
  std::string text =
      "Serves GGUF models over HTTP: llama-server's APIs for many models in one process.\n\n"
      "Usage: switchyard serve [options]\n\n"
      "Where models come from:\n"
      "  --models-dir DIR       a folder: each GGUF file, each sub-folder with a split or multimodal model\n"
      "  --models-preset FILE   llama.cpp's INI presets\n"
      "  -m, --model FILE       one model, in the place of a one-model llama-server\n"
      "  -hf, --hf-repo REPO    one model from Hugging Face, fetched into llama.cpp's cache\n\nOf this "
      "server:\n";
  for (const OwnFlag& flag : kOwn) {
    text += fmt::format("  {:<22} {}\n", fmt::format("{} {}", flag.name, flag.hint), flag.help);
  }
  text +=
      "  --models-max N         most hot models at once (default 4, 0 = no limit)\n"
      "  --no-models-autoload   requests do not load models\n"
      "  --host H, --port P     where to listen (default 127.0.0.1 and 8080; port 0 picks a free one)\n"
      "  --api-key KEY, --api-key-file FILE\n"
      "                         keys that clients must give; needed to listen to others\n"
      "  --json                 say where it listens, or why not, as a JSON object\n\n"
      "Every other option of llama-server (--ctx-size, --parallel, --threads, --n-gpu-layers, ...) is taken\n"
      "too, for all models: see switchyard serve --help-all.\n";
  return text;
}

}  // namespace switchyard::cli
