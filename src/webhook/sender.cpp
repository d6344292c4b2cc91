#include "webhook/sender.h"

#include <pthread.h>

#include <utility>

#include "telemetry/log.h"
#include "webhook/signature.h"

namespace switchyard::webhook {

Sender::Sender(std::unique_ptr<Post> post, SenderOptions options)
    : post_(std::move(post)), options_(std::move(options)), thread_([this] { run(); }) {}

Sender::~Sender() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    if (!queue_.empty())
      telemetry::log_warning("webhook", "{} notifications are not delivered: the server ends", queue_.size());
  }
  post_->cancel();
  thread_.join();
}

void Sender::send(std::string body) {
  const MutexLock lock(mutex_);
  if (queue_.size() >= options_.most_queued) {
    ++stats_.dropped;
    return;
  }
  queue_.push_back(std::move(body));
  changed_.notify_all();
}

alerts::Delivery Sender::stats() const {
  const MutexLock lock(mutex_);
  alerts::Delivery stats = stats_;
  stats.queued = queue_.size();
  return stats;
}

void Sender::wait_idle() {
  const MutexLock lock(mutex_);
  while (!queue_.empty() && !stopping_) changed_.wait(mutex_);
}

void Sender::run() {
  pthread_setname_np(pthread_self(), "webhook");
  MutexLock lock(mutex_);
  for (std::uint64_t number = 1;; ++number) {
    while (queue_.empty() && !stopping_) changed_.wait(mutex_);
    if (stopping_) return;
    const std::string body = queue_.front();
    lock.unlock();
    const bool taken = deliver(body, number);
    lock.lock();
    if (stopping_ && !taken) return;
    ++(taken ? stats_.sent : stats_.failed);
    queue_.pop_front();
    changed_.notify_all();
  }
}

bool Sender::deliver(const std::string& body, std::uint64_t number) {
  Post::Headers headers = {{"X-Switchyard-Delivery", std::to_string(number)}};
  if (!options_.secret.empty()) headers["X-Switchyard-Signature"] = signature(options_.secret, body);
  for (std::uint32_t attempt = 1;; ++attempt) {
    const Result<int> answer = post_->post(headers, body);
    if (is_taken(answer)) return true;
    const auto wait = retry_after(answer, attempt, options_.retry);
    if (!wait) {
      telemetry::log_warning("webhook", "a notification is given up after {} attempts: {}", attempt,
                             answer ? "status " + std::to_string(*answer) : answer.error().to_string());
      return false;
    }
    if (!pause(*wait)) return false;
  }
}

bool Sender::pause(Duration duration) {
  const auto end = std::chrono::steady_clock::now() + duration;
  const MutexLock lock(mutex_);
  while (!stopping_ && std::chrono::steady_clock::now() < end) changed_.wait_until(mutex_, end);
  return !stopping_;
}

}  // namespace switchyard::webhook
