#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/client.h"

// The same prompts to two variants, and what differs. Pure.

namespace switchyard::cli {

/// The body of a chat request out of one line of a prompt file: {"prompt": "..."}, {"messages": [...]} or a
/// text, with further fields of the API as they are. What is to be compared needs the least of chance:
/// temperature 0 and a seed where the line says nothing. Errors: kInvalidArgument.
[[nodiscard]] Result<Json> chat_body_of(std::string_view line);

struct PairedReply {
  std::string text = {};
  std::int64_t tokens = 0;
  double seconds = 0;
  std::optional<Error> error = {};  ///< nothing else is set then
};
/// What a chat completion says.
[[nodiscard]] PairedReply reply_of(const Json& completion, double seconds);

struct PairedRow {
  std::size_t line = 0;  ///< of the prompt file, from 1
  PairedReply a, b;
};

/// {"a", "b", "prompts", "failed", "equal", "valid_json", "characters", "tokens", "seconds", "time": {...},
/// "rows"}; "time" is how much longer b takes than a, of pairs, with a confidence sequence of 95 %.
[[nodiscard]] Json paired_json(const std::string& a, const std::string& b,
                               const std::vector<PairedRow>& rows);
[[nodiscard]] std::string paired_table(const Json& result);

}  // namespace switchyard::cli
