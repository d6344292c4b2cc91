#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// What a reply says, whole or streamed, in each of the dialects that generate. Pure.

namespace switchyard::shadowing {

/// The dialects whose replies can be compared.
enum class ReplyForm : std::uint8_t { kChat, kCompletion, kResponses, kMessages };

/// The form of what `path` gives; nothing for a path that generates no such reply.
[[nodiscard]] std::optional<ReplyForm> reply_form(std::string_view path);

struct ReplyText {
  std::string text;  ///< as the user reads it: no reasoning; calls of tools as lines "name arguments"
  std::optional<std::uint64_t> tokens = {};  ///< generated
  bool whole = false;                        ///< it is a reply, and has its end; of a stream its end mark
  std::string error = {};                    ///< what it says went wrong
};

/// Reads a whole body of this form. Text that is no such reply gives none.
[[nodiscard]] ReplyText read_body(ReplyForm form, std::string_view body);
/// Reads all bytes of a stream of server-sent events. The text is that of the same reply as a whole body.
[[nodiscard]] ReplyText read_stream(ReplyForm form, std::string_view bytes);

/// A JSON object or array. A plain number or word is a text like any other.
[[nodiscard]] bool is_json(std::string_view text);

}  // namespace switchyard::shadowing
