#pragma once

#include <utility>

#include "base/mutex.h"

namespace switchyard {

/// Lets callbacks of somebody who lives longer come in until it is closed. Any thread.
class Gate {
 public:
  /// Runs `task` unless the gate is closed. Tasks run one at a time and must not close the gate.
  template <typename Task>
  void pass(Task&& task) {
    const MutexLock lock(mutex_);
    if (!closed_) std::forward<Task>(task)();
  }
  /// Waits for a task in progress; nothing passes after.
  void close() {
    const MutexLock lock(mutex_);
    closed_ = true;
  }

 private:
  Mutex mutex_;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace switchyard
