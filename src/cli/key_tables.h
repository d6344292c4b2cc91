#pragma once

#include <string>

#include "cli/client.h"

namespace switchyard::cli {

/// The answers of /admin/v1/keys and /admin/v1/usage for people. Pure.
[[nodiscard]] std::string key_table(const Json& answer);
[[nodiscard]] std::string usage_table(const Json& answer);
/// A key that was made or rotated, with its secret.
[[nodiscard]] std::string issued_text(const Json& answer);
/// One key after a change: as a table, and in one line that says whether it is let in.
[[nodiscard]] std::string updated_text(const Json& answer);
[[nodiscard]] std::string key_line(const Json& answer);

}  // namespace switchyard::cli
