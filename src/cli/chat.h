#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "cli/client.h"

namespace switchyard::cli {

/// What one reply came to.
struct ChatReply {
  std::string text;
  std::string finish_reason;
  Json timings;
  bool stopped = false;  ///< by the user, before its end
};

/// Sends `request` (an OpenAI chat request; "stream" is set here) and hands the pieces to the caller as
/// they come; `thinking` tells reasoning from the answer. `stop` is looked at between pieces.
[[nodiscard]] Result<ChatReply> stream_chat(
    Client& client, Json request, const std::atomic<bool>& stop,
    const std::function<void(const std::string& piece, bool thinking)>& on_text);

}  // namespace switchyard::cli
