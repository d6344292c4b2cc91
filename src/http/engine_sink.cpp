#include "http/engine_sink.h"

#include <algorithm>
#include <array>
#include <utility>

#include "http/errors.h"
#include "http/rate_limit.h"

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
  head.headers.erase(engine::kTokensHeader);
  response.headers.insert(head.headers.begin(), head.headers.end());
  if (!head.version.model.empty()) response.headers["x-switchyard-version"] = head.version.to_string();
  if (!head.instead_of.model.empty())
    response.headers["x-switchyard-fallback"] = "for " + head.instead_of.to_string();
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

void EngineSink::note(const gateway::ReplyHead& head) {
  const auto said = head.headers.find(engine::kTokensHeader);
  if (said == head.headers.end()) return;
  if (const auto tally = engine::token_tally_from(said->second)) tokens_.know(*tally);
}

void EngineSink::respond(gateway::ReplyHead head, std::string body) {
  note(head);
  tokens_.see(body);
  Response response = to_response(std::move(head));
  response.body = rewrite_ ? rewrite_(std::move(body)) : std::move(body);
  end_permit();
  exchange_->respond(with_limits(std::move(response)));
}

void EngineSink::start(gateway::ReplyHead head) {
  started_ = true;
  note(head);
  sse_ = head.content_type.starts_with("text/event-stream");
  Response response = to_response(std::move(head));
  response.headers["X-Accel-Buffering"] = "no";  // nginx would hold the pieces back
  exchange_->start_stream(with_limits(std::move(response)));
}

bool EngineSink::write(std::string bytes) {
  mark_.see(bytes);
  tokens_.see(bytes);
  ++pieces_;
  // Whose stream has no mark that ends it reads on to the end of the reply.
  if (form_ != StreamForm::kNative && mark_.ending() == gateway::Ending::kWhole) end_permit();
  return exchange_->write(std::move(bytes));
}

void EngineSink::when_writable(std::function<void()> resume) { exchange_->when_writable(std::move(resume)); }

void EngineSink::on_client_gone(std::function<void()> callback) {
  exchange_->on_client_gone(std::move(callback));
}

gateway::TokenCounts EngineSink::tokens() const {
  return tokens_.counts(form_ == StreamForm::kOther ? 0 : pieces_);
}

void EngineSink::end_permit() {
  if (!permit_) return;
  const gateway::TokenCounts counts = tokens();
  permit_->end(counts.prompt.value_or(0) + counts.generated.value_or(0));
}

Response EngineSink::with_limits(Response response) const {
  if (permit_) response.headers.merge(rate_limit_headers(permit_->standing()));
  return response;
}

void EngineSink::finish() {
  end_permit();
  exchange_->finish();
}

void EngineSink::fail(const Error& error) {
  end_permit();
  const Dialect dialect = form_ == StreamForm::kAnthropic ? Dialect::kAnthropic : Dialect::kOpenAi;
  if (!started_) {
    exchange_->respond(with_limits(error_reply(error, dialect)));
    return;
  }
  if (!sse_) {
    exchange_->abort();  // no way to say it inside: a cut is not mistaken for an end
    return;
  }
  const std::string_view event = dialect == Dialect::kAnthropic ? "event: error\n" : "";
  exchange_->write(std::string(event) + "data: " + to_text(error_body(error, dialect)) + "\n\n");
  exchange_->finish();
}

}  // namespace switchyard::http
