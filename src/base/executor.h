#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace switchyard {

/// Runs blocking work away from the caller. Any thread may post; tasks must not throw.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void post(std::function<void()> task) = 0;
};

/// Runs each task at once on the caller's thread: for exact tests.
class InlineExecutor final : public Executor {
 public:
  void post(std::function<void()> task) override { task(); }
};

/// Grows a thread when a task finds none idle, up to `max_threads` or what the system allows, beyond which
/// tasks wait in order. One thread is there from the start, so that a task always finds one in the end; idle
/// ones above that end after a few seconds, and one that has lived for `thread_lives` hands over to a new
/// one: what glibc keeps of a thread's freed memory, up to some 200 KiB, only grows until then. The
/// destructor runs what was posted and joins.
class ThreadPool final : public Executor {
 public:
  /// `name` (at most 12 characters) is what the threads are called in top and gdb. Throws std::system_error
  /// where not even one thread can be had.
  ThreadPool(std::string name, std::size_t max_threads,
             std::chrono::milliseconds thread_lives = std::chrono::seconds(30));
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void post(std::function<void()> task) override;

 private:
  void start_thread() REQUIRES(mutex_);
  bool try_start_thread() REQUIRES(mutex_);
  void run();

  const std::string name_;
  const std::size_t max_threads_;
  const std::chrono::milliseconds thread_lives_;
  Mutex mutex_;
  CondVar work_;
  CondVar ended_;
  std::deque<std::function<void()>> tasks_ GUARDED_BY(mutex_);
  std::size_t threads_ GUARDED_BY(mutex_) = 0;
  std::size_t idle_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace switchyard
