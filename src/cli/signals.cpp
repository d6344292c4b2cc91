#include "cli/signals.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>

namespace switchyard::cli {
namespace {

// SIGUSR2 is how the destructor ends the watcher.
sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) sigaddset(&set, signal);
  return set;
}

}  // namespace

Occasions::Occasions() {
  const sigset_t set = watched_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  watcher_ = std::thread([this] { watch_signals(); });
}

Occasions::~Occasions() {
  pthread_kill(watcher_.native_handle(), SIGUSR2);
  watcher_.join();
}

void Occasions::watch_signals() {
  const sigset_t set = watched_signals();
  bool stopping = false;
  for (;;) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0 || signal == SIGUSR2) return;
    if (signal == SIGHUP) {
      post({Kind::kReload, "SIGHUP"});
      continue;
    }
    if (stopping) ::_exit(128 + signal);
    stopping = true;
    post({Kind::kStop, signal == SIGTERM ? "SIGTERM" : "SIGINT"});
  }
}

void Occasions::post(Occasion occasion) {
  const MutexLock lock(mutex_);
  queue_.push_back(std::move(occasion));
  posted_.notify_one();
}

Occasions::Occasion Occasions::wait() {
  MutexLock lock(mutex_);
  while (queue_.empty()) posted_.wait(mutex_);
  Occasion occasion = std::move(queue_.front());
  queue_.pop_front();
  return occasion;
}

}  // namespace switchyard::cli
