#include "engine/worker/remote_reply.h"

#include <utility>

#include "engine/worker/codec.h"

namespace switchyard::engine::worker {
namespace {

constexpr std::chrono::milliseconds kLookEvery{100};

class RemoteReply final : public Reply {
 public:
  RemoteReply(std::shared_ptr<Worker> worker, std::function<bool()> should_stop)
      : worker_(std::move(worker)), should_stop_(std::move(should_stop)) {}

  ~RemoteReply() override {
    if (!channel_ || failure_) return;
    hang_up();
    // The worker closes its end when its own reply is over; a resumable stream goes on there until then.
    while (channel_->receive()) {
    }
  }
  RemoteReply(const RemoteReply&) = delete;
  RemoteReply& operator=(const RemoteReply&) = delete;

  void begin(const HandleOrder& order) {
    auto opened = worker_->open();
    if (!opened) return fail_with(opened.error());
    channel_.emplace(std::move(*opened));
    if (!send(*channel_, order)) return fail_with(worker_->why_silent());
    const auto message = receive();
    if (!message) return;
    auto head = read_head(*message);
    if (!head) return fail_with(head.error());
    head_ = std::move(*head);
  }

  [[nodiscard]] int status() const override { return head_.status; }
  [[nodiscard]] const std::string& content_type() const override { return head_.content_type; }
  [[nodiscard]] const std::map<std::string, std::string>& headers() const override { return head_.headers; }
  [[nodiscard]] bool is_stream() const override { return head_.is_stream; }
  [[nodiscard]] std::string take_body() override { return std::move(head_.body); }
  [[nodiscard]] const Error* failure() const override { return failure_ ? &*failure_ : nullptr; }

  bool next(std::string& chunk) override {
    chunk.clear();
    if (failure_) return false;
    const auto message = receive();
    if (!message) return false;
    const bool last = message->kind == Kind::kLastChunk;
    if ((!last && message->kind != Kind::kChunk) || message->blobs.size() != 1) {
      fail_with({ErrorCode::kInternal, "a worker process sent something that is no part of a reply"});
      return false;
    }
    chunk = to_text(message->blobs[0]);
    return !last;
  }

 private:
  /// Nothing, and failure_ says why, when the worker is gone.
  std::optional<Message> receive() {
    while (!channel_->readable(kLookEvery)) {
      if (should_stop_()) hang_up();
    }
    auto message = channel_->receive();
    if (message) return std::move(*message);
    fail_with(message.error().code == ErrorCode::kUnavailable ? worker_->why_silent() : message.error());
    return std::nullopt;
  }

  void hang_up() {
    if (!std::exchange(hung_up_, true)) channel_->hang_up();
  }

  void fail_with(Error error) {
    failure_ = std::move(error);
    if (head_.is_stream) return;
    head_.status = http_status(failure_->code);
  }

  const std::shared_ptr<Worker> worker_;
  const std::function<bool()> should_stop_;
  std::optional<Channel> channel_;
  bool hung_up_ = false;
  ReplyHead head_;
  std::optional<Error> failure_;
};

}  // namespace

std::unique_ptr<Reply> ask(std::shared_ptr<Worker> worker, std::optional<std::uint64_t> engine,
                           Request request) {
  auto reply = std::make_unique<RemoteReply>(std::move(worker), std::move(request.should_stop));
  reply->begin({.engine = engine, .request = std::move(request)});
  return reply;
}

}  // namespace switchyard::engine::worker
