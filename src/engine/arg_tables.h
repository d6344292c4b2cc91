#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include "arg.h"
#include "engine/args.h"
#include "preset.h"

// What args.cpp, ini_presets.cpp and params.cpp share of llama.cpp's option tables. Inside engine/ only.

namespace switchyard::engine {

/// Held around every use of the tables and every handler: neither is thread-safe.
[[nodiscard]] std::mutex& arg_tables_mutex();

/// llama-server's options and the preset-only ones.
[[nodiscard]] const common_preset_context& arg_tables();

/// The canonical name of an option, see args.h.
[[nodiscard]] std::string canonical_name(const common_arg& option);

/// Who may give an option, and for a refused one why, as a sentence.
struct ArgRule {
  ArgScope scope = ArgScope::kModel;
  std::string_view why = {};
};
[[nodiscard]] ArgRule rule_of(std::string_view canonical_name);

}  // namespace switchyard::engine
