#pragma once

#include <string>

#include "cli/client.h"

// What `ls` and `ps` print of the server's /admin/v1/models. Pure.

namespace switchyard::cli {

/// Every version: name, state, parameters, context, memory, file.
[[nodiscard]] std::string model_table(const Json& answer, const Json& aliases);
/// What is in memory, and a last line with the sum.
[[nodiscard]] std::string residency_table(const Json& answer);
/// One line for a version after a change: "smollm2 is hot (0.4 s, 431 MiB)".
[[nodiscard]] std::string version_line(const Json& version);

}  // namespace switchyard::cli
