#include "base/strand.h"

#include <deque>
#include <utility>

#include "base/mutex.h"

namespace switchyard {

/// Shared with what waits in the executor, which may come to it later than the strand lives.
struct Strand::State : std::enable_shared_from_this<State> {
  explicit State(Executor& where) : executor(where) {}

  Executor& executor;
  Mutex mutex;
  CondVar paused;
  std::deque<std::function<void()>> tasks GUARDED_BY(mutex);
  bool running GUARDED_BY(mutex) = false;
  bool posted GUARDED_BY(mutex) = false;  // a run() is with the executor
  bool closed GUARDED_BY(mutex) = false;

  void run_all() REQUIRES(mutex) {
    running = true;
    while (!tasks.empty()) {
      std::function<void()> task = std::move(tasks.front());
      tasks.pop_front();
      mutex.unlock();
      task();
      task = nullptr;  // what it holds may end here, without the lock
      mutex.lock();
    }
    running = false;
    paused.notify_all();
  }

  void run() EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    posted = false;
    if (!running) run_all();
  }

  void schedule() EXCLUDES(mutex) {
    {
      const MutexLock lock(mutex);
      if (running || posted || tasks.empty()) return;
      posted = true;
    }
    executor.post([self = shared_from_this()] { self->run(); });
  }
};

Strand::Strand(Executor& executor) : state_(std::make_shared<State>(executor)) {}
Strand::~Strand() { finish(); }

void Strand::post(std::function<void()> task) {
  {
    const MutexLock lock(state_->mutex);
    if (state_->closed) return;
    state_->tasks.push_back(std::move(task));
  }
  state_->schedule();
}

void Strand::call(const std::function<void()>& task) {
  const MutexLock lock(state_->mutex);
  while (state_->running) state_->paused.wait(state_->mutex);
  state_->tasks.push_back(task);
  state_->run_all();
}

void Strand::finish() {
  const MutexLock lock(state_->mutex);
  while (state_->running) state_->paused.wait(state_->mutex);
  state_->run_all();
  state_->closed = true;
}

}  // namespace switchyard
