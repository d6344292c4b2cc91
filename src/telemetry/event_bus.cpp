#include "telemetry/event_bus.h"

#include <utility>
#include <vector>

namespace switchyard::telemetry {

struct EventBus::Subscription::Slot {
  Mutex mutex;
  Callback callback GUARDED_BY(mutex);
};

EventBus::Subscription::~Subscription() {
  if (slot_ == nullptr) return;
  const MutexLock lock(slot_->mutex);
  slot_->callback = nullptr;
}

EventBus::Subscription& EventBus::Subscription::operator=(Subscription&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}

EventBus::Subscription EventBus::subscribe(Callback callback) {
  auto slot = std::make_shared<Subscription::Slot>();
  {
    const MutexLock lock(slot->mutex);
    slot->callback = std::move(callback);
  }
  const MutexLock lock(mutex_);
  std::erase_if(slots_, [](const auto& entry) { return entry.second.expired(); });
  slots_[next_slot_++] = slot;
  return Subscription(std::move(slot));
}

void EventBus::publish(Event event) {
  const MutexLock order(publish_mutex_);
  std::vector<std::shared_ptr<Subscription::Slot>> slots;
  {
    const MutexLock lock(mutex_);
    event.id = next_id_++;
    event.at = std::chrono::system_clock::now();
    for (const auto& [key, weak] : slots_) {
      if (auto slot = weak.lock()) slots.push_back(std::move(slot));
    }
  }
  for (const auto& slot : slots) {
    const MutexLock lock(slot->mutex);
    if (slot->callback) slot->callback(event);
  }
}

}  // namespace switchyard::telemetry
