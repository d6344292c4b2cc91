#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/reply_sink.h"
#include "http/server.h"

namespace switchyard::http {

/// How a stream of llama-server ends and how it tells an error in its middle.
enum class StreamForm : std::uint8_t {
  kOpenAi,     ///< ends with `data: [DONE]`
  kResponses,  ///< ends with `event: response.completed`
  kAnthropic,  ///< ends with `event: message_stop`; errors are `event: error`
  kNative,     ///< llama-server's own: the last piece says "stop":true, as far as the client asked for it
  kOther,      ///< no mark
};

/// The form of the streams that `path` gives.
[[nodiscard]] StreamForm stream_form(std::string_view path);

/// Looks for a stream's end mark as its bytes go by. One thread at a time.
class EndMark {
 public:
  explicit EndMark(StreamForm form) : form_(form) {}
  /// `bytes` holds whole events, as engines hand them over.
  void see(std::string_view bytes);
  [[nodiscard]] gateway::Ending ending() const;

 private:
  const StreamForm form_;
  bool ended_ = false;
};

/// Hands an engine's reply to an Exchange; the body of one that is no stream as `rewrite` makes it.
class EngineSink final : public gateway::ReplySink {
 public:
  using Rewrite = std::function<std::string(std::string)>;
  EngineSink(ExchangePtr exchange, StreamForm form, Rewrite rewrite = {})
      : exchange_(std::move(exchange)), form_(form), rewrite_(std::move(rewrite)), mark_(form) {}

  void respond(gateway::ReplyHead head, std::string body) override;
  void start(gateway::ReplyHead head) override;
  bool write(std::string bytes) override;
  void when_writable(std::function<void()> resume) override;
  [[nodiscard]] gateway::Ending ending() const override { return mark_.ending(); }
  void finish() override { exchange_->finish(); }
  void fail(const Error& error) override;
  [[nodiscard]] bool client_gone() const override { return exchange_->client_gone(); }
  void on_client_gone(std::function<void()> callback) override;

 private:
  const ExchangePtr exchange_;
  const StreamForm form_;
  const Rewrite rewrite_;
  EndMark mark_;
  bool started_ = false;
  bool sse_ = false;
};

}  // namespace switchyard::http
