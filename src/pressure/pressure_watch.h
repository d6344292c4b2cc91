#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "pressure/memory_source.h"
#include "pressure/pressure_trigger.h"

namespace switchyard::pressure {

/// Looks at the machine's memory once a second, and as soon as the kernel reports pressure; has `shed`
/// called where it runs out, then rests for two seconds: freeing takes its time.
class PressureWatch {
 public:
  struct Parts {
    std::unique_ptr<MemorySource> source;
    std::unique_ptr<PressureTrigger> trigger;
    /// Frees at least so many bytes, if it can; the names of what goes. Called on the watch's thread.
    std::function<std::vector<std::string>(ByteSize missing)> shed;
  };

  explicit PressureWatch(Parts parts);
  PressureWatch(const PressureWatch&) = delete;
  PressureWatch& operator=(const PressureWatch&) = delete;
  /// Waits for a look in progress.
  ~PressureWatch();

  /// Looks again and again on a thread of its own, until the end.
  void start();
  /// One look.
  void look(Wake wake);

 private:
  void run();

  Parts parts_;
  MemoryReading before_;
  TimePoint rests_until_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace switchyard::pressure
