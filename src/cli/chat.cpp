#include "cli/chat.h"

namespace switchyard::cli {
namespace {

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

Result<ChatReply> stream_chat(Client& client, Json request, const std::atomic<bool>& stop,
                              const std::function<void(const std::string& piece, bool thinking)>& on_text) {
  request["stream"] = true;
  ChatReply reply;
  std::optional<Error> error;
  const Status ended = client.stream("POST", "/v1/chat/completions", request, [&](const std::string& data) {
    if (data == "[DONE]") return true;
    const Json chunk = Json::parse(data, nullptr, false);
    if (chunk.is_discarded()) return true;
    if (chunk.contains("error")) {
      error = error_of_reply(chunk["error"].is_object() ? chunk["error"].value("code", 500) : 500, data);
      return false;
    }
    if (chunk.contains("timings")) reply.timings = chunk["timings"];
    const Json choices = chunk.value("choices", Json::array());
    if (!choices.empty()) {
      const Json delta = choices[0].value("delta", Json::object());
      if (const std::string piece = text_of(delta, "reasoning_content"); !piece.empty()) on_text(piece, true);
      if (const std::string piece = text_of(delta, "content"); !piece.empty()) {
        reply.text += piece;
        on_text(piece, false);
      }
      if (const std::string reason = text_of(choices[0], "finish_reason"); !reason.empty())
        reply.finish_reason = reason;
    }
    reply.stopped = stop;
    return !reply.stopped;
  });
  if (error) return std::unexpected(*error);
  if (!ended) return std::unexpected(ended.error());
  return reply;
}

}  // namespace switchyard::cli
