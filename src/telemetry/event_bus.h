#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"

namespace switchyard::telemetry {

/// Something that happened to a model, as told on /admin/v1/events and /models/sse.
struct Event {
  std::uint64_t id = 0;                      ///< grows by one; set by the bus
  std::chrono::system_clock::time_point at;  ///< set by the bus
  std::string type;                          ///< "state", "load_progress", "models_reload", "alias", "config"
  std::string model;                         ///< model id, "*" for all
  std::string version;                       ///< version name, empty for all
  std::map<std::string, std::string> text;   ///< further fields: from, to, cause, error, stage, ...
  std::map<std::string, double> numbers;     ///< further fields: duration_ms, progress, ...
  std::map<std::string, std::map<std::string, double>> parts;  ///< numbers of each: a download's files by URL
};

/// Hands each event to every subscriber, in order, on the publisher's thread. Any thread.
/// Subscribers must be quick and must not publish; they are called without the bus's lock only
/// in the sense that they may subscribe and unsubscribe others, never themselves, from the call.
class EventBus {
 public:
  using Callback = std::function<void(const Event&)>;

  /// Ends the subscription when destroyed, waiting for a call in progress on another thread.
  class Subscription {
   public:
    Subscription() = default;
    ~Subscription();
    Subscription(Subscription&&) noexcept = default;
    Subscription& operator=(Subscription&&) noexcept;

   private:
    friend class EventBus;
    struct Slot;
    explicit Subscription(std::shared_ptr<Slot> slot) : slot_(std::move(slot)) {}
    std::shared_ptr<Slot> slot_;
  };

  [[nodiscard]] Subscription subscribe(Callback callback);
  void publish(Event event);

 private:
  Mutex publish_mutex_;  // keeps ids and deliveries in one order; taken before mutex_
  Mutex mutex_;
  std::uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  std::map<std::uint64_t, std::weak_ptr<Subscription::Slot>> slots_ GUARDED_BY(mutex_);
  std::uint64_t next_slot_ GUARDED_BY(mutex_) = 1;
};

}  // namespace switchyard::telemetry
