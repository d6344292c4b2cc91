#include "http/event_streams.h"

#include <algorithm>
#include <utility>

namespace switchyard::http {
namespace {
/// Frames kept for a reader that does not read; one that stays behind this far is cut off.
constexpr std::size_t kMostBacklog = 4096;
}  // namespace

class EventStreams::Client : public std::enable_shared_from_this<Client> {
 public:
  Client(ExchangePtr exchange, Render render) : exchange_(std::move(exchange)), render_(std::move(render)) {}

  void start(std::string greeting) {
    Response head;
    head.content_type = "text/event-stream";
    head.headers = {{"X-Accel-Buffering", "no"}, {"Cache-Control", "no-cache"}};
    exchange_->start_stream(std::move(head));
    {
      const MutexLock lock(mutex_);
      if (!greeting.empty()) backlog_.push_front(std::move(greeting));
      waiting_ = false;
    }
    flush();
  }

  void tell(const telemetry::Event& event) {
    if (auto frame = render_(event)) send(std::move(*frame));
  }

  void send(std::string frame) {
    if (frame.empty()) return;
    {
      const MutexLock lock(mutex_);
      if (over_) return;
      backlog_.push_back(std::move(frame));
      if (backlog_.size() > kMostBacklog) {
        over_ = true;
        exchange_->abort();
        return;
      }
    }
    flush();
  }

  void end() {
    const MutexLock lock(mutex_);
    if (std::exchange(over_, true)) return;
    exchange_->finish();
  }

  [[nodiscard]] bool gone() {
    const MutexLock lock(mutex_);
    return over_ || exchange_->client_gone();
  }

 private:
  void flush() {
    {
      const MutexLock lock(mutex_);
      if (over_) return;
      if (waiting_) return;
      while (!waiting_ && !backlog_.empty()) {
        std::string frame = std::move(backlog_.front());
        backlog_.pop_front();
        waiting_ = !exchange_->write(std::move(frame));
      }
      if (!waiting_) return;
    }
    exchange_->when_writable([weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self == nullptr) return;
      {
        const MutexLock lock(self->mutex_);
        self->waiting_ = false;
      }
      self->flush();
    });
  }

  const ExchangePtr exchange_;
  const Render render_;
  Mutex mutex_;
  bool over_ GUARDED_BY(mutex_) = false;
  bool waiting_ GUARDED_BY(mutex_) = true;  // for start(), then for a slow reader
  std::deque<std::string> backlog_ GUARDED_BY(mutex_);
};

EventStreams::EventStreams(telemetry::EventBus& events, Executor& executor)
    : executor_(executor),
      subscription_(events.subscribe([this](const telemetry::Event& event) { enqueue(event); })) {}

EventStreams::~EventStreams() {
  subscription_ = {};
  close();
  MutexLock lock(mutex_);
  queue_.clear();
  while (delivering_) idle_.wait(mutex_);
}

void EventStreams::add(ExchangePtr exchange, Render render, std::string greeting) {
  bool end_at_once = exchange->request().method == "HEAD";
  const auto client = std::make_shared<Client>(std::move(exchange), std::move(render));
  {
    // Listed before its head goes out: a client that has seen the head misses nothing.
    const MutexLock lock(mutex_);
    end_at_once = end_at_once || closed_;
    if (!end_at_once) clients_.push_back(client);
  }
  client->start(std::move(greeting));
  if (end_at_once) client->end();
}

void EventStreams::enqueue(const telemetry::Event& event) {
  {
    const MutexLock lock(mutex_);
    if (closed_ || clients_.empty()) return;
    queue_.push_back(event);
    if (std::exchange(delivering_, true)) return;
  }
  executor_.post([this] { deliver(); });
}

void EventStreams::deliver() {
  MutexLock lock(mutex_);
  while (!queue_.empty()) {
    const telemetry::Event event = std::move(queue_.front());
    queue_.pop_front();
    const auto listeners = clients_;
    lock.unlock();
    for (const auto& client : listeners) client->tell(event);
    lock.lock();
  }
  delivering_ = false;
  idle_.notify_all();
}

void EventStreams::ping() {
  for (const auto& client : clients()) client->send(": ping\n\n");
}

void EventStreams::close() {
  {
    const MutexLock lock(mutex_);
    closed_ = true;
  }
  for (const auto& client : clients()) client->end();
}

std::vector<std::shared_ptr<EventStreams::Client>> EventStreams::clients() {
  std::vector<std::shared_ptr<Client>> gone;
  const MutexLock lock(mutex_);
  std::erase_if(clients_, [&](const auto& client) {
    if (!client->gone()) return false;
    gone.push_back(client);
    return true;
  });
  return clients_;
}

}  // namespace switchyard::http
