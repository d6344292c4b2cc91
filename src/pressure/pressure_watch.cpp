#include "pressure/pressure_watch.h"

#include <fmt/ranges.h>
#include <pthread.h>

#include <utility>

#include "pressure/shortage.h"
#include "telemetry/log.h"

namespace switchyard::pressure {
namespace {

constexpr Duration kInterval = std::chrono::seconds(1);
constexpr Duration kRest = std::chrono::seconds(2);

}  // namespace

PressureWatch::PressureWatch(Parts parts)
    : parts_(std::move(parts)), before_(parts_.source->read()), rests_until_(before_.at) {}

PressureWatch::~PressureWatch() {
  stopping_ = true;
  parts_.trigger->interrupt();
  if (thread_.joinable()) thread_.join();
}

void PressureWatch::start() {
  thread_ = std::thread([this] { run(); });
}

void PressureWatch::run() {
  pthread_setname_np(pthread_self(), "memory-watch");
  while (!stopping_) {
    const Wake wake = parts_.trigger->wait(kInterval);
    if (!stopping_) look(wake);
  }
}

void PressureWatch::look(Wake wake) {
  const MemoryReading now = parts_.source->read();
  const MemoryReading before = std::exchange(before_, now);
  if (now.at < rests_until_) return;
  const auto shortage = find_shortage(before, now, wake);
  if (!shortage) return;
  rests_until_ = now.at + kRest;
  const std::vector<std::string> gone = parts_.shed(shortage->missing);
  if (!gone.empty())
    telemetry::log_warning("memory", "{}: unloaded {} to make room", shortage->why, fmt::join(gone, ", "));
}

}  // namespace switchyard::pressure
