#pragma once

#include <string>

#include "cli/client.h"

// Answers of /admin/v1/aliases as text for people. Pure functions.

namespace switchyard::cli {

/// All aliases, one a row.
[[nodiscard]] std::string alias_table(const Json& answer);
/// One alias: where it points, where it may go back to, what is going on.
[[nodiscard]] std::string alias_text(const Json& alias);
/// Its moves, newest first.
[[nodiscard]] std::string history_table(const Json& alias);
/// "chat is now m@2 (was m@1; 1.2s)", and what is still to end.
[[nodiscard]] std::string switch_line(const Json& report);
/// A model's versions, oldest first.
[[nodiscard]] std::string versions_table(const Json& answer);
/// What a dry run says.
[[nodiscard]] std::string preview_text(const Json& preview);

}  // namespace switchyard::cli
