#include "library/chat_text.h"

#include <nlohmann/json.hpp>

namespace switchyard::library {
namespace {

using Json = nlohmann::json;
constexpr std::string_view kData = "data: ";

}  // namespace

std::string chat_request(std::string_view prompt, const ChatOptions& options) {
  Json body{{"stream", true},
            {"max_tokens", options.max_tokens},
            {"messages", Json::array({{{"role", "user"}, {"content", prompt}}})}};
  if (options.temperature) body["temperature"] = *options.temperature;
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string error_message(std::string_view body) {
  const Json parsed = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  const Json::json_pointer message("/error/message");
  if (parsed.is_object() && parsed.contains(message) && parsed[message].is_string()) {
    return parsed[message].get<std::string>();
  }
  return std::string(body);
}

void ChatText::feed(std::string_view bytes) {
  pending_ += bytes;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    std::string_view line = std::string_view(pending_).substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with(kData)) event(line.substr(kData.size()));
  }
  pending_.erase(0, begin);
}

void ChatText::event(std::string_view data) {
  if (data == "[DONE]") {
    ended_ = true;
    return;
  }
  const Json parsed = Json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return;
  if (parsed.contains("error")) {
    error_ = Error{ErrorCode::kInternal, error_message(data)};
    return;
  }
  const Json::json_pointer content("/choices/0/delta/content");
  if (!parsed.contains(content) || !parsed[content].is_string()) return;
  const auto text = parsed[content].get<std::string>();
  text_ += text;
  if (on_text_ && !text.empty()) on_text_(text);
}

Result<std::string> ChatText::result() && {
  if (error_) return std::unexpected(std::move(*error_));
  if (!ended_) return fail(ErrorCode::kInternal, "the reply ended before its end");
  return std::move(text_);
}

}  // namespace switchyard::library
