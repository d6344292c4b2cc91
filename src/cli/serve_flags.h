#pragma once

#include <span>
#include <string>

#include "config/server_settings.h"
#include "switchyard/result.h"

namespace switchyard::cli {

struct ServeFlags {
  config::Sources sources;
  enum class Help { kNone, kOwn, kAll } help = Help::kNone;
  bool json = false;  ///< for programs: addresses and errors as JSON
};

/// The words after `switchyard serve`: our own flags, and every other word through llama.cpp's option
/// tables; and the environment. Errors: kInvalidArgument with the nearest names, kUnimplemented.
[[nodiscard]] Result<ServeFlags> parse_serve_flags(std::span<const std::string> words);

[[nodiscard]] std::string serve_help();

}  // namespace switchyard::cli
