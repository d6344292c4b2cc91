#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

// Clang checks these attributes when it builds (-Wthread-safety, an error in the clang build); for
// g++ they are nothing.
#if defined(__clang__)
#define SWITCHYARD_ATTRIBUTE(x) __attribute__((x))
#else
#define SWITCHYARD_ATTRIBUTE(x)
#endif
#define CAPABILITY(x) SWITCHYARD_ATTRIBUTE(capability(x))
#define SCOPED_CAPABILITY SWITCHYARD_ATTRIBUTE(scoped_lockable)
#define GUARDED_BY(x) SWITCHYARD_ATTRIBUTE(guarded_by(x))
#define REQUIRES(...) SWITCHYARD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) SWITCHYARD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) SWITCHYARD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define RELEASE(...) SWITCHYARD_ATTRIBUTE(release_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS SWITCHYARD_ATTRIBUTE(no_thread_safety_analysis)

namespace switchyard {

/// std::mutex with the attributes that let clang check who holds it.
class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

/// Holds a Mutex for a scope; unlock() and lock() may be called to act outside it.
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  void unlock() RELEASE() {
    mutex_.unlock();
    held_ = false;
  }
  void lock() ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

/// Condition variable over a Mutex. Wait in a loop over the guarded condition.
class CondVar {
 public:
  void wait(Mutex& mutex) REQUIRES(mutex) NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  /// False when the time passed without a notification.
  bool wait_until(Mutex& mutex, std::chrono::steady_clock::time_point deadline)
      REQUIRES(mutex) NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    const bool notified = cv_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }
  void notify_one() { cv_.notify_one(); }
  void notify_all() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace switchyard
