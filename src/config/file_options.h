#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/api/engine.h"
#include "switchyard/result.h"

// Options of a model whose value is a file, or a list of files.

namespace switchyard::config {

/// `key` in the spellings that people write, without dashes.
[[nodiscard]] bool is_file_option(std::string_view key);

/// The value of such an option with each of its files replaced; "lora-scaled" and the like carry ":scale"
/// behind.
[[nodiscard]] std::string replace_files(const std::string& list,
                                        const std::function<std::string(const std::string& file)>& replace);

/// kPermissionDenied, naming the file, when a file that `args` name lies outside `folders`, links followed;
/// such as the model itself. No folder: nothing is refused. Looks at the disk: blocks.
[[nodiscard]] Status check_files(const engine::ArgMap& args, const std::vector<std::string>& folders);

}  // namespace switchyard::config
