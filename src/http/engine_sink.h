#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/reply_sink.h"
#include "http/server.h"
#include "http/token_counter.h"
#include "tenants/limiter.h"

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

/// Hands an engine's reply to an Exchange; the body of one that is no stream as `rewrite` makes it. A
/// `permit` ends, and what it is charged is known, before the client can have seen the end of its reply: the
/// next request of one that waits for its replies finds its place free.
class EngineSink final : public gateway::ReplySink {
 public:
  using Rewrite = std::function<std::string(std::string)>;
  EngineSink(ExchangePtr exchange, StreamForm form, Rewrite rewrite = {},
             std::optional<tenants::Permit> permit = {})
      : exchange_(std::move(exchange)),
        form_(form),
        rewrite_(std::move(rewrite)),
        mark_(form),
        permit_(std::move(permit)) {}

  void respond(gateway::ReplyHead head, std::string body) override;
  void note(const gateway::ReplyHead& head) override;
  void start(gateway::ReplyHead head) override;
  bool write(std::string bytes) override;
  void when_writable(std::function<void()> resume) override;
  [[nodiscard]] gateway::Ending ending() const override { return mark_.ending(); }
  /// Where the reply does not say what was generated: one token for each piece of a stream that was cut.
  [[nodiscard]] gateway::TokenCounts tokens() const override;
  void finish() override;
  void fail(const Error& error) override;
  [[nodiscard]] bool client_gone() const override { return exchange_->client_gone(); }
  void on_client_gone(std::function<void()> callback) override;

 private:
  void end_permit();
  [[nodiscard]] Response with_limits(Response response) const;

  const ExchangePtr exchange_;
  const StreamForm form_;
  const Rewrite rewrite_;
  EndMark mark_;
  TokenCounter tokens_;
  std::uint64_t pieces_ = 0;  ///< of a stream
  std::optional<tenants::Permit> permit_;
  bool started_ = false;
  bool sse_ = false;
};

}  // namespace switchyard::http
