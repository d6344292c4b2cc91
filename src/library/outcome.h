#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "switchyard/result.h"

namespace switchyard::library {

/// How something ended, told by one thread and waited for by another; the first to tell decides.
class Outcome {
 public:
  void set(Status status) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (!status_) status_ = std::move(status);
    told_.notify_all();
  }
  [[nodiscard]] Status wait() EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    while (!status_) told_.wait(mutex_);
    return *status_;
  }

 private:
  Mutex mutex_;
  CondVar told_;
  std::optional<Status> status_ GUARDED_BY(mutex_);
};

/// Calls `begin` with a callback to be called once with how it ended, and waits for that. A refusal
/// by `begin` itself is the answer.
inline Status await(const std::function<Status(std::function<void(Status)> done)>& begin) {
  const auto outcome = std::make_shared<Outcome>();
  if (auto begun = begin([outcome](Status status) { outcome->set(std::move(status)); }); !begun) return begun;
  return outcome->wait();
}

}  // namespace switchyard::library
