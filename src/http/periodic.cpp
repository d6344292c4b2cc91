#include "http/periodic.h"

#include <pthread.h>

#include <utility>

namespace switchyard::http {

Periodic::Periodic(std::string name, std::chrono::milliseconds interval, std::function<void()> task)
    : name_(std::move(name)), interval_(interval), task_(std::move(task)), thread_([this] { run(); }) {}

Periodic::~Periodic() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    stop_.notify_all();
  }
  thread_.join();
}

void Periodic::run() {
  pthread_setname_np(pthread_self(), name_.c_str());
  MutexLock lock(mutex_);
  while (!stopping_) {
    const auto due = std::chrono::steady_clock::now() + interval_;
    bool passed = false;
    while (!stopping_ && !passed) passed = !stop_.wait_until(mutex_, due);
    if (stopping_) return;
    lock.unlock();
    task_();
    lock.lock();
  }
}

}  // namespace switchyard::http
