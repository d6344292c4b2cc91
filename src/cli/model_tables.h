#pragma once

#include <string>
#include <vector>

#include "cli/client.h"

// What `ls` and `ps` print of the server's /admin/v1/models. Pure.

namespace switchyard::cli {

/// Every version: name, state, parameters, context, memory, file.
[[nodiscard]] std::string model_table(const Json& answer, const Json& aliases);
/// What is in memory, and a last line with the sum.
[[nodiscard]] std::string residency_table(const Json& answer);
/// Of /admin/v1/health: what is known of the health of versions, and why those that have failed did.
[[nodiscard]] std::string health_table(const Json& answer);
/// Ids, `model@version` where there are several, and aliases: what may be asked for.
[[nodiscard]] std::vector<std::string> model_names(const Json& answer, const Json& aliases);
/// One line for a version after a change: "smollm2 is hot (0.4 s, 431 MiB)".
[[nodiscard]] std::string version_line(const Json& version);

}  // namespace switchyard::cli
