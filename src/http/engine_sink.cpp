#include "http/engine_sink.h"

#include <algorithm>
#include <array>
#include <utility>

#include "http/errors.h"

namespace switchyard::http {
namespace {

/// True when a line of `bytes` begins with `start`. Text from a model cannot forge one: JSON has no
/// raw line breaks.
bool has_line(std::string_view bytes, std::string_view start) {
  for (auto at = bytes.find(start); at != std::string_view::npos; at = bytes.find(start, at + 1)) {
    if (at == 0 || bytes[at - 1] == '\n') return true;
  }
  return false;
}

Response to_response(gateway::ReplyHead head) {
  Response response;
  response.status = head.status;
  response.content_type = std::move(head.content_type);
  response.headers.insert(head.headers.begin(), head.headers.end());
  if (!head.version.model.empty()) response.headers["x-switchyard-version"] = head.version.to_string();
  return response;
}

}  // namespace

StreamForm stream_form(std::string_view path) {
  if (path.starts_with("/v1/messages")) return StreamForm::kAnthropic;
  if (path.ends_with("/responses")) return StreamForm::kResponses;
  constexpr std::array<std::string_view, 5> kOpenAi{"/v1/completions", "/chat/completions",
                                                    "/v1/chat/completions", "/v1/audio/transcriptions",
                                                    "/audio/transcriptions"};
  if (std::ranges::find(kOpenAi, path) != kOpenAi.end()) return StreamForm::kOpenAi;
  if (path == "/completion" || path == "/completions" || path == "/infill") return StreamForm::kNative;
  return StreamForm::kOther;
}

void EndMark::see(std::string_view bytes) {
  if (form_ == StreamForm::kNative) {
    // One prompt of several may end before the others: only the last piece counts.
    ended_ = bytes.find("\"stop\":true") != std::string_view::npos || has_line(bytes, "data: {\"error\":");
    return;
  }
  if (ended_) return;
  ended_ = has_line(bytes, "data: {\"error\":") || has_line(bytes, "event: error\n");
  switch (form_) {
    case StreamForm::kOpenAi: ended_ |= has_line(bytes, "data: [DONE]"); break;
    case StreamForm::kResponses: ended_ |= has_line(bytes, "event: response.completed\n"); break;
    case StreamForm::kAnthropic: ended_ |= has_line(bytes, "event: message_stop\n"); break;
    case StreamForm::kNative:
    case StreamForm::kOther: break;
  }
}

gateway::Ending EndMark::ending() const {
  if (ended_) return gateway::Ending::kWhole;
  const bool has_mark =
      form_ == StreamForm::kOpenAi || form_ == StreamForm::kResponses || form_ == StreamForm::kAnthropic;
  return has_mark ? gateway::Ending::kCut : gateway::Ending::kUnknown;
}

void EngineSink::respond(gateway::ReplyHead head, std::string body) {
  Response response = to_response(std::move(head));
  response.body = rewrite_ ? rewrite_(std::move(body)) : std::move(body);
  exchange_->respond(std::move(response));
}

void EngineSink::start(gateway::ReplyHead head) {
  started_ = true;
  sse_ = head.content_type.starts_with("text/event-stream");
  Response response = to_response(std::move(head));
  response.headers["X-Accel-Buffering"] = "no";  // nginx would hold the pieces back
  exchange_->start_stream(std::move(response));
}

bool EngineSink::write(std::string bytes) {
  mark_.see(bytes);
  return exchange_->write(std::move(bytes));
}

void EngineSink::when_writable(std::function<void()> resume) { exchange_->when_writable(std::move(resume)); }

void EngineSink::on_client_gone(std::function<void()> callback) {
  exchange_->on_client_gone(std::move(callback));
}

void EngineSink::fail(const Error& error) {
  if (!started_) {
    exchange_->respond(error_reply(error));
    return;
  }
  if (!sse_) {
    exchange_->abort();  // no way to say it inside: a cut is not mistaken for an end
    return;
  }
  const Json object = error_object(error);
  exchange_->write(form_ == StreamForm::kAnthropic
                       ? "event: error\ndata: " + to_text({{"type", "error"}, {"error", object}}) + "\n\n"
                       : "data: " + to_text({{"error", object}}) + "\n\n");
  exchange_->finish();
}

}  // namespace switchyard::http
