#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "gateway/reply_sink.h"
#include "shadowing/byte_budget.h"

namespace switchyard::shadowing {

/// What a user was sent, as far as it was whole and not too long.
struct Captured {
  std::string bytes;  ///< a body, or all of a stream
  bool streamed = false;
  bool whole = false;     ///< the reply was sent to its end
  bool too_long = false;  ///< bytes are missing, and none are kept
  HeldBytes held = {};    ///< for bytes
};

/// Hands a user's reply on, and keeps a copy of it, which takes no more than copying bytes does. A sink like
/// the one inside; take() once the reply has ended.
class Capture final : public gateway::ReplySink {
 public:
  /// Keeps `most` bytes at most, within what `held` belongs to.
  Capture(std::shared_ptr<gateway::ReplySink> inner, HeldBytes held, std::size_t most)
      : inner_(std::move(inner)), most_(most) {
    captured_.held = std::move(held);
  }

  void respond(gateway::ReplyHead head, std::string body) override;
  void note(const gateway::ReplyHead& head) override { inner_->note(head); }
  void start(gateway::ReplyHead head) override;
  bool write(std::string bytes) override;
  void when_writable(std::function<void()> resume) override { inner_->when_writable(std::move(resume)); }
  [[nodiscard]] gateway::Ending ending() const override { return inner_->ending(); }
  [[nodiscard]] gateway::TokenCounts tokens() const override { return inner_->tokens(); }
  void finish() override;
  void fail(const Error& error) override { inner_->fail(error); }
  [[nodiscard]] bool client_gone() const override { return inner_->client_gone(); }
  void on_client_gone(std::function<void()> callback) override {
    inner_->on_client_gone(std::move(callback));
  }

  [[nodiscard]] Captured take() { return std::move(captured_); }

 private:
  void keep(std::string_view bytes);

  const std::shared_ptr<gateway::ReplySink> inner_;
  const std::size_t most_;
  Captured captured_;
};

}  // namespace switchyard::shadowing
