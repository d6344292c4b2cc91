#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "http/server.h"
#include "telemetry/event_bus.h"

namespace switchyard::http {

/// Clients that listen to the event bus as server-sent events. Publishers are not held up: events are
/// rendered and written on the executor, in order. Any thread.
class EventStreams {
 public:
  /// The frame for an event, or none when this stream does not tell it. May ask the manager.
  using Render = std::function<std::optional<std::string>(const telemetry::Event&)>;

  EventStreams(telemetry::EventBus& events, Executor& executor);
  /// Ends all streams and waits for what is being written.
  ~EventStreams();
  EventStreams(const EventStreams&) = delete;
  EventStreams& operator=(const EventStreams&) = delete;

  /// Starts the stream; `greeting` (possibly empty) is its first frame.
  void add(ExchangePtr exchange, Render render, std::string greeting = {});
  /// A comment to every client, so that proxies keep the connections; drops those that are gone.
  void ping();
  /// Ends all streams whole; later ones end at once.
  void close();

 private:
  class Client;
  void enqueue(const telemetry::Event& event);
  void deliver();
  [[nodiscard]] std::vector<std::shared_ptr<Client>> clients();

  Executor& executor_;
  Mutex mutex_;
  CondVar idle_;
  bool closed_ GUARDED_BY(mutex_) = false;
  bool delivering_ GUARDED_BY(mutex_) = false;
  std::deque<telemetry::Event> queue_ GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Client>> clients_ GUARDED_BY(mutex_);
  telemetry::EventBus::Subscription subscription_;  // last: ends before what it uses
};

}  // namespace switchyard::http
