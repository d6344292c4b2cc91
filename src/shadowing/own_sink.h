#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "gateway/reply_sink.h"
#include "shadowing/reply_text.h"

namespace switchyard::shadowing {

/// Where the replies to the server's own requests go: keeps them, up to a bound. Gives up when `give_up` says
/// so, as a client that leaves; asked for every token. A sink as ReplySink says; the results are for whoever
/// is told of the request's end.
class OwnSink final : public gateway::ReplySink {
 public:
  /// `form`: of a reply that may be a stream.
  OwnSink(std::optional<ReplyForm> form, std::size_t most, std::function<bool()> give_up)
      : form_(form), most_(most), give_up_(std::move(give_up)) {}

  void respond(gateway::ReplyHead head, std::string body) override;
  void start(gateway::ReplyHead head) override;
  bool write(std::string bytes) override;
  void when_writable(std::function<void()> resume) override { resume(); }  // it is always
  [[nodiscard]] gateway::Ending ending() const override;
  [[nodiscard]] gateway::TokenCounts tokens() const override { return {}; }
  void finish() override { over_ = true; }
  void fail(const Error& /*error*/) override { over_ = true; }
  [[nodiscard]] bool client_gone() const override;
  void on_client_gone(std::function<void()> /*callback*/) override {}  // nobody calls: it is asked

  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] bool gave_up() const { return gave_up_; }
  [[nodiscard]] bool too_long() const { return too_long_; }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  /// The reply as text.
  [[nodiscard]] ReplyText text() const;

 private:
  const std::optional<ReplyForm> form_;
  const std::size_t most_;
  const std::function<bool()> give_up_;
  mutable std::atomic<bool> gave_up_ = false;
  std::atomic<bool> too_long_ = false, over_ = false;
  int status_ = 0;
  bool streamed_ = false;
  std::string bytes_;
};

}  // namespace switchyard::shadowing
