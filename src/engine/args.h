#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "engine/api/engine.h"
#include "switchyard/result.h"

// llama-server's options, read by llama.cpp's own tables, as plain text maps. Any thread; calls are
// serialised inside, because llama.cpp's parser is not thread-safe.

namespace switchyard::engine {

/// Who an option speaks to.
enum class ArgScope {
  kModel,    ///< one model: context size, LoRA, template, ...; allowed per model
  kServer,   ///< the front: host, port, API keys, TLS, CORS, router settings; only for the whole server
  kProcess,  ///< process-wide in llama.cpp (logging, NUMA, ...); only for the whole server
  kRefused,  ///< would end the process or do something else (--help, --version, --completion-bash, ...)
};

struct CanonicalArg {
  std::string name;   ///< canonical long name without dashes ("ctx-size", "parallel", "flash-attn")
  std::string value;  ///< flags are "true" or "false", also when given in their negative form
  ArgScope scope;
};

/// `key` is any spelling of an option without leading dashes ("c", "ctx-size", "ctx_size",
/// "no-mmap", "LLAMA_ARG_CTX_SIZE"); the value is checked by llama.cpp's own handler on scratch
/// parameters. Errors: kInvalidArgument, with the nearest names for an unknown key.
[[nodiscard]] Result<CanonicalArg> canonical_arg(std::string_view key, std::string_view value);

/// Command-line words ("-c", "4096", "--no-mmap", "--jinja", "--ctx-size=4096") to canonical options. Errors as above.
[[nodiscard]] Result<ArgMap> parse_command_line(std::span<const std::string> words);

/// Options set by LLAMA_ARG_* and the like in the environment. Values that do not parse are an error that names the variable.
[[nodiscard]] Result<ArgMap> args_from_environment();

/// An INI preset file: section -> options; "*" is the common section. Includes the preset-only keys
/// "load-on-startup", "stop-timeout", "dedup-cache-models". Errors name file, section and key.
[[nodiscard]] Result<std::map<std::string, ArgMap>> load_ini_presets(const std::string& path);

/// Models of a folder as llama-server's router finds them: id -> {"model", "mmproj", "spec-draft-model"}.
[[nodiscard]] Result<std::map<std::string, ArgMap>> scan_models_dir(const std::string& dir);

/// The scope of a canonical name; kModel for preset-only keys.
[[nodiscard]] ArgScope scope_of(std::string_view canonical_name);

/// Words for a command line that would give `args` again ("--ctx-size", "4096").
[[nodiscard]] std::vector<std::string> to_command_line(const ArgMap& args);

}  // namespace switchyard::engine
