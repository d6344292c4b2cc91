#pragma once

#include <deque>
#include <string>
#include <thread>

#include "base/mutex.h"

namespace switchyard::cli {

/// What the serving program waits for: signals, and what other threads want it to know. Any thread
/// may post; one waits.
///
/// Made before any other thread, so that all of them inherit the blocked signals. A second SIGTERM
/// or SIGINT ends the process at once, whatever it is doing.
class Occasions {
 public:
  enum class Kind { kStop, kReload, kFailed };
  struct Occasion {
    Kind kind;
    std::string why;
  };

  Occasions();
  ~Occasions();
  Occasions(const Occasions&) = delete;
  Occasions& operator=(const Occasions&) = delete;

  void post(Occasion occasion) EXCLUDES(mutex_);
  [[nodiscard]] Occasion wait() EXCLUDES(mutex_);

 private:
  void watch_signals();

  Mutex mutex_;
  CondVar posted_;
  std::deque<Occasion> queue_ GUARDED_BY(mutex_);
  std::thread watcher_;
};

}  // namespace switchyard::cli
