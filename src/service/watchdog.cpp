#include "service/watchdog.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "telemetry/log.h"

namespace switchyard::service {

struct Watchdog::State {
  explicit State(std::size_t parts) : answered(parts) {}
  std::vector<std::atomic<bool>> answered;
};

Watchdog::Watchdog(std::vector<Part> parts, std::function<void()> alive)
    : parts_(std::move(parts)), alive_(std::move(alive)), state_(std::make_shared<State>(parts_.size())) {
  for (std::size_t i = 0; i < parts_.size(); ++i) ask(i);
}

void Watchdog::ask(std::size_t part) {
  state_->answered[part] = false;
  parts_[part].pulse([state = state_, part] { state->answered[part] = true; });
}

void Watchdog::tick() {
  const auto stuck = std::ranges::find_if_not(state_->answered, [](const auto& yes) { return yes.load(); });
  if (stuck != state_->answered.end()) {
    const auto& part = parts_[static_cast<std::size_t>(stuck - state_->answered.begin())];
    if (!std::exchange(warned_, true)) telemetry::log_error("watchdog", "{} does not answer", part.name);
    return;
  }
  warned_ = false;
  alive_();
  for (std::size_t i = 0; i < parts_.size(); ++i) ask(i);
}

}  // namespace switchyard::service
