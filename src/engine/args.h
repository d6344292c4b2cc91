#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/api/engine.h"
#include "switchyard/result.h"

// llama-server's options, read by llama.cpp's own tables, as plain text maps. Any thread; calls are
// serialised inside, because llama.cpp's parser is not thread-safe.
//
// The canonical name of an option is the one that llama.cpp writes into presets: its last long name
// ("n-gpu-layers", "n-predict", "embeddings", "reranking", "temperature"), but the --spec-... one
// where there is one ("spec-draft-model").

namespace switchyard::engine {

/// Who an option speaks to.
enum class ArgScope {
  kModel,    ///< one model: context size, LoRA, template, ...; allowed per model
  kServer,   ///< the front: host, port, API keys, TLS, CORS, router settings; only for the whole server
  kProcess,  ///< process-wide in llama.cpp (logging, NUMA, RPC); only for the whole server
  kRefused,  ///< would end the process, or is not done here; every function below refuses it and says why
};

struct CanonicalArg {
  std::string name;   ///< canonical long name without dashes ("ctx-size", "parallel", "flash-attn")
  std::string value;  ///< flags are "true" or "false", also when given in their negative form
  ArgScope scope;
};

/// `key` is any spelling of an option without leading dashes ("c", "ctx-size", "ctx_size",
/// "no-warmup", "LLAMA_ARG_CTX_SIZE"); the value of a model's option is checked by llama.cpp's own
/// handler on scratch parameters. Errors: kInvalidArgument, with the nearest names for an unknown
/// key; kUnimplemented for a refused one.
[[nodiscard]] Result<CanonicalArg> canonical_arg(std::string_view key, std::string_view value);

/// Command-line words ("-c", "4096", "--no-warmup", "--jinja", "--ctx-size=4096") to canonical
/// options. An option given again overrides, but lists (--lora, --alias, --api-key, ...) add up, as
/// in llama-server. `own_names` ("--memory-budget") are the caller's, named where one may have been
/// meant. Errors as above.
[[nodiscard]] Result<ArgMap> parse_command_line(std::span<const std::string> words,
                                                std::span<const std::string> own_names = {});

/// Options set by LLAMA_ARG_* and the like in the environment. Values that do not parse are an error
/// that names the variable.
[[nodiscard]] Result<ArgMap> args_from_environment();

struct IniPresets {
  std::map<std::string, ArgMap> sections;  ///< "*" is the common one
  std::vector<std::string> notes;          ///< what was left out: options of the whole server
};

/// An INI preset file. Includes the preset-only keys "load-on-startup", "stop-timeout",
/// "dedup-cache-models". Errors and notes name file, line, section and key.
[[nodiscard]] Result<IniPresets> load_ini_presets(const std::string& path);

/// Models of a folder as llama-server's router finds them: id -> {"model", "mmproj",
/// "spec-draft-model"}, absolute paths. Errors: kNotFound for a folder that is none.
[[nodiscard]] Result<std::map<std::string, ArgMap>> scan_models_dir(const std::string& dir);

/// The scope of a canonical name; kModel for preset-only keys.
[[nodiscard]] ArgScope scope_of(std::string_view canonical_name);

/// Words for a command line that would give `args` again ("--ctx-size", "4096").
[[nodiscard]] std::vector<std::string> to_command_line(const ArgMap& args);

/// Every spelling with its dashes ("-c", "--ctx-size", "--no-warmup") that is not refused: for shell
/// completion.
[[nodiscard]] std::vector<std::string> option_names();

/// llama.cpp's own help text of every option that is not refused, as a terminal shows it.
[[nodiscard]] std::string option_help();

/// Runs the process-wide options of `args` that llama.cpp acts on itself (--numa, --rpc). After
/// llama.cpp has been started, before the first load. Errors: kInvalidArgument with llama.cpp's words.
[[nodiscard]] Status apply_process_args(const ArgMap& args);

}  // namespace switchyard::engine
