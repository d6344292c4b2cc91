#pragma once

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

/// Grows a thread when a task finds none idle, up to `max_threads`, beyond which tasks wait in
/// order; idle threads above none end after a few seconds. The destructor runs what was posted and joins.
class ThreadPool final : public Executor {
 public:
  /// `name` (at most 12 characters) is what the threads are called in top and gdb.
  ThreadPool(std::string name, std::size_t max_threads);
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void post(std::function<void()> task) override;

 private:
  void run();

  const std::string name_;
  const std::size_t max_threads_;
  Mutex mutex_;
  CondVar work_;
  CondVar ended_;
  std::deque<std::function<void()>> tasks_ GUARDED_BY(mutex_);
  std::size_t threads_ GUARDED_BY(mutex_) = 0;
  std::size_t idle_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace switchyard
