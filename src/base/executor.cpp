#include "base/executor.h"

#include <pthread.h>

#include <system_error>
#include <utility>

namespace switchyard {
namespace {
constexpr std::chrono::seconds kIdleThreadLives{5};
}

ThreadPool::ThreadPool(std::string name, std::size_t max_threads, std::chrono::milliseconds thread_lives)
    : name_(std::move(name)), max_threads_(max_threads == 0 ? 1 : max_threads), thread_lives_(thread_lives) {
  const MutexLock lock(mutex_);
  start_thread();
}

ThreadPool::~ThreadPool() {
  MutexLock lock(mutex_);
  stopping_ = true;
  work_.notify_all();
  while (threads_ > 0) ended_.wait(mutex_);
}

void ThreadPool::post(std::function<void()> task) {
  MutexLock lock(mutex_);
  tasks_.push_back(std::move(task));
  if (idle_ >= tasks_.size() || threads_ == max_threads_) {
    work_.notify_one();
    return;
  }
  if (!try_start_thread()) work_.notify_one();  // those that are there get to it
}

/// False where the system has no more threads.
bool ThreadPool::try_start_thread() {
  try {
    start_thread();
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

void ThreadPool::start_thread() {
  // Detached, and counted in threads_: the destructor waits for the count, not for handles.
  std::thread([this] { run(); }).detach();
  ++threads_;
}

void ThreadPool::run() {
  pthread_setname_np(pthread_self(), name_.c_str());
  const auto successor_at = std::chrono::steady_clock::now() + thread_lives_;
  MutexLock lock(mutex_);
  while (true) {
    const auto give_up = std::chrono::steady_clock::now() + kIdleThreadLives;
    ++idle_;
    bool timed_out = false;
    while (tasks_.empty() && !stopping_ && !timed_out) timed_out = !work_.wait_until(mutex_, give_up);
    --idle_;
    if (tasks_.empty() && (stopping_ || threads_ > 1)) break;
    if (tasks_.empty()) continue;
    auto task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what the task owns is released without the lock
    lock.lock();
    if (std::chrono::steady_clock::now() >= successor_at && !stopping_ && try_start_thread()) break;
  }
  --threads_;
  // The destructor may destroy this object as soon as the lock is released: touch nothing after.
  ended_.notify_all();
}

}  // namespace switchyard
