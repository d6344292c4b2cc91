#pragma once

#include <memory>

#include "base/mutex.h"
#include "engine/worker/codec.h"

// Conversations of an engine in a worker stay with the server: its store has the bounds, outlives the worker,
// and gives a state to whatever process loads the version next. The worker asks over the socket of its load.

namespace switchyard::engine::worker {

/// A load's channel as the worker has it: what one thread asks and another one tells do not mix. Any thread.
class LoadLink {
 public:
  explicit LoadLink(Channel channel) : channel_(std::move(channel)) {}

  template <typename T>
  Status tell(const T& what) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return send(channel_, what);
  }
  /// Calls `ask` with the channel and receives the answer.
  template <typename Ask>
  Result<Message> exchange(const Ask& ask) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (const Status sent = ask(channel_); !sent) return std::unexpected(sent.error());
    return channel_.receive();
  }
  /// Calls `ask` with the channel; nothing is answered.
  template <typename Ask>
  Status post(const Ask& ask) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return ask(channel_);
  }
  /// Whether the server has given the load up.
  [[nodiscard]] bool given_up() const EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return channel_.hung_up();
  }

 private:
  mutable Mutex mutex_;
  Channel channel_ GUARDED_BY(mutex_);
};

/// The worker's side: a keeper that asks the server's. Where the server does not answer nothing is kept.
[[nodiscard]] std::unique_ptr<SlotStateKeeper> make_remote_keeper(std::shared_ptr<LoadLink> link);

/// The server's side: answers what the worker's keeper asks, one message after the other. One thread.
class KeeperHost {
 public:
  explicit KeeperHost(std::unique_ptr<SlotStateKeeper> keeper) : keeper_(std::move(keeper)) {}
  /// Errors: kInternal for a message that is no question, kUnavailable when the worker is gone.
  [[nodiscard]] Status answer(Message question, Channel& channel);
  [[nodiscard]] bool keeps() const { return keeper_ != nullptr; }

 private:
  std::unique_ptr<SlotStateKeeper> keeper_;  // null when nothing is kept
  std::shared_ptr<const SlotState> found_;   // the last one, until the worker says what became of it
};

}  // namespace switchyard::engine::worker
