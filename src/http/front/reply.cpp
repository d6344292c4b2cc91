#include "http/front/reply.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "http/front/head.h"

namespace switchyard::http {

Reply::Reply(Options options, std::function<void()> wake)
    : options_(options), wake_(std::move(wake)), close_(!options.keep_alive) {}

void Reply::wake_locked() {
  if (!wake_ || wake_pending_) return;
  wake_pending_ = true;
  wake_();
}

void Reply::end_locked(End end) {
  phase_ = Phase::kEnded;
  end_ = end;
  wake_locked();
}

bool Reply::may_resume() const {
  return !wake_ || gone_ || phase_ == Phase::kEnded || pending_.size() + in_flight_ < kLowWater;
}

std::function<void()> Reply::due_resume() {
  if (!resume_ || !may_resume()) return nullptr;
  return std::exchange(resume_, nullptr);
}

void Reply::respond(Response response) {
  std::vector<std::function<void()>> unused;
  const MutexLock lock(mutex_);
  if (phase_ != Phase::kWaiting) return;
  if (asks_to_close(response)) close_ = true;
  const bool body_allowed = status_allows_body(response.status);
  Framing framing;
  framing.close = close_;
  framing.http10_keep_alive = options_.http10 && !close_;
  if (body_allowed) framing.content_length = response.body.size();
  pending_ += response_head(response, framing);
  if (body_allowed && !options_.head_only) pending_ += response.body;
  unused.swap(gone_callbacks_);
  end_locked(End::kWhole);
}

void Reply::start_stream(const Response& head) {
  const MutexLock lock(mutex_);
  if (phase_ != Phase::kWaiting) return;
  has_body_ = status_allows_body(head.status) && !options_.head_only;
  chunked_ = status_allows_body(head.status) && !options_.http10;
  if (asks_to_close(head) || (options_.http10 && has_body_)) close_ = true;
  Framing framing;
  framing.chunked = chunked_;
  framing.close = close_;
  framing.http10_keep_alive = options_.http10 && !close_;
  pending_ += response_head(head, framing);
  phase_ = Phase::kStreaming;
  wake_locked();
}

bool Reply::write(std::string_view bytes) {
  const MutexLock lock(mutex_);
  if (phase_ != Phase::kStreaming || !wake_ || gone_ || !has_body_) return true;
  if (!bytes.empty()) {  // an empty chunk would be the end
    if (chunked_) fmt::format_to(std::back_inserter(pending_), "{:x}\r\n", bytes.size());
    pending_ += bytes;
    if (chunked_) pending_ += "\r\n";
    wake_locked();
  }
  return pending_.size() + in_flight_ <= kHighWater;
}

void Reply::when_writable(std::function<void()> resume) {
  MutexLock lock(mutex_);
  resume_ = std::move(resume);
  if (wake_ && !gone_) {
    if (may_resume()) wake_locked();  // woken() calls it
    return;
  }
  const auto due = due_resume();
  lock.unlock();
  if (due) due();
}

void Reply::finish() {
  std::vector<std::function<void()>> unused;
  const MutexLock lock(mutex_);
  if (phase_ != Phase::kStreaming) return;
  if (chunked_ && has_body_ && wake_) pending_ += "0\r\n\r\n";
  unused.swap(gone_callbacks_);
  end_locked(End::kWhole);
}

void Reply::abort() {
  std::vector<std::function<void()>> unused;
  const MutexLock lock(mutex_);
  if (phase_ == Phase::kEnded) return;
  unused.swap(gone_callbacks_);
  end_locked(End::kCut);
}

void Reply::drop() { abort(); }

bool Reply::client_gone() const {
  const MutexLock lock(mutex_);
  return gone_;
}

void Reply::on_client_gone(std::function<void()> callback) {
  MutexLock lock(mutex_);
  if (!gone_) {
    if (phase_ != Phase::kEnded) gone_callbacks_.push_back(std::move(callback));
    return;
  }
  lock.unlock();
  callback();
}

void Reply::woken() {
  MutexLock lock(mutex_);
  wake_pending_ = false;
  const auto due = due_resume();
  lock.unlock();
  if (due) due();
}

Reply::Output Reply::take() {
  MutexLock lock(mutex_);
  Output out;
  out.bytes.swap(pending_);
  out.end = end_;
  in_flight_ += out.bytes.size();
  const auto due = due_resume();
  lock.unlock();
  if (due) due();
  return out;
}

void Reply::sent(std::size_t bytes) {
  MutexLock lock(mutex_);
  in_flight_ -= bytes;
  const auto due = due_resume();
  lock.unlock();
  if (due) due();
}

void Reply::set_gone() {
  std::vector<std::function<void()>> callbacks;
  MutexLock lock(mutex_);
  if (std::exchange(gone_, true)) return;
  callbacks.swap(gone_callbacks_);
  const auto due = due_resume();
  lock.unlock();
  for (const auto& callback : callbacks) callback();
  if (due) due();
}

void Reply::close_after() {
  const MutexLock lock(mutex_);
  close_ = true;
}

void Reply::detach() {
  std::function<void()> wake;
  std::string pending;
  MutexLock lock(mutex_);
  wake.swap(wake_);
  pending.swap(pending_);
  const auto due = due_resume();
  lock.unlock();
  if (due) due();
}

bool Reply::cut_requested() const {
  const MutexLock lock(mutex_);
  return end_ == End::kCut;
}

bool Reply::closes() const {
  const MutexLock lock(mutex_);
  return close_;
}

bool Reply::ends_by_close() const {
  const MutexLock lock(mutex_);
  return options_.http10 && has_body_ && phase_ != Phase::kWaiting;
}

namespace {

class HandlersExchange final : public Exchange {
 public:
  HandlersExchange(Request request, BodyBudget::Share share, std::shared_ptr<Reply> reply)
      : share_(std::move(share)), request_(std::move(request)), reply_(std::move(reply)) {}
  ~HandlersExchange() override { reply_->drop(); }
  HandlersExchange(const HandlersExchange&) = delete;
  HandlersExchange& operator=(const HandlersExchange&) = delete;

  [[nodiscard]] const Request& request() const override { return request_; }
  void respond(Response response) override { reply_->respond(std::move(response)); }
  void start_stream(Response head) override { reply_->start_stream(head); }
  bool write(std::string bytes) override { return reply_->write(bytes); }
  void when_writable(std::function<void()> resume) override { reply_->when_writable(std::move(resume)); }
  void finish() override { reply_->finish(); }
  void abort() override { reply_->abort(); }
  [[nodiscard]] bool client_gone() const override { return reply_->client_gone(); }
  void on_client_gone(std::function<void()> callback) override {
    reply_->on_client_gone(std::move(callback));
  }

 private:
  const BodyBudget::Share share_;  // before the body: it is freed when that is
  const Request request_;
  const std::shared_ptr<Reply> reply_;
};

}  // namespace

ExchangePtr make_exchange(Request request, BodyBudget::Share share, std::shared_ptr<Reply> reply) {
  return std::make_shared<HandlersExchange>(std::move(request), std::move(share), std::move(reply));
}

}  // namespace switchyard::http
