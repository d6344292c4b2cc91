#pragma once

#include <string>
#include <string_view>

#include "switchyard/result.h"

namespace switchyard::library {

/// The `switchyard` program that reads unknown files: `configured` itself when given, else the first of
/// <directory of this program>/switchyard, <that>/../bin/switchyard and the folders of `path`.
/// Errors: kInvalidArgument with what was tried.
[[nodiscard]] Result<std::string> find_helper(const std::string& configured, const std::string& program_dir,
                                              std::string_view path);

/// The same for this process: its own program's directory and its PATH.
[[nodiscard]] Result<std::string> find_helper(const std::string& configured);

}  // namespace switchyard::library
