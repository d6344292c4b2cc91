#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "switchyard/model_manager.h"
#include "switchyard/result.h"

namespace switchyard::library {

/// The body of a streamed chat request with one user message.
[[nodiscard]] std::string chat_request(std::string_view prompt, const ChatOptions& options);

/// The `message` of an error body of llama-server's, or the body itself when it is none.
[[nodiscard]] std::string error_message(std::string_view body);

/// Takes the text out of a streamed chat reply, which may be cut anywhere into chunks. One thread.
class ChatText {
 public:
  explicit ChatText(std::function<void(std::string_view)> on_text) : on_text_(std::move(on_text)) {}
  void feed(std::string_view bytes);
  /// The whole text; kInternal with the server's words when an error frame came, and when the stream
  /// ended before its end.
  [[nodiscard]] Result<std::string> result() &&;

 private:
  void event(std::string_view data);

  std::function<void(std::string_view)> on_text_;
  std::string pending_;  ///< begun line
  std::string text_;
  std::optional<Error> error_;
  bool ended_ = false;
};

}  // namespace switchyard::library
