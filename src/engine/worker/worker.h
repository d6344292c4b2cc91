#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>

#include "engine/api/loop_activity.h"
#include "engine/worker/channel.h"

namespace switchyard::engine::worker {

/// A process that holds engines. Any thread. Ends when the last who holds it lets it go.
class Worker {
 public:
  virtual ~Worker() = default;
  /// A new call. Errors: kUnavailable where the worker has died or the system has no more sockets.
  [[nodiscard]] virtual Result<Channel> open() = 0;
  /// Stopped when it has ended without having been let go. Callbacks run on a thread of the worker's own.
  [[nodiscard]] virtual std::stop_token died() const = 0;
  /// How it died, as far as that is known now.
  [[nodiscard]] virtual Error why() const = 0;
  /// The same for one that has just stopped answering: waits until died() has told everybody, a second at
  /// most. Not from a callback of died(), nor under a lock that one takes.
  [[nodiscard]] virtual Error why_silent() const = 0;
  /// Ends it now, whatever it does; died() says so a moment later.
  virtual void kill() = 0;
  /// What an engine of it says that it is at, at this place of the BusyBoard. Null where that is not known.
  [[nodiscard]] virtual std::shared_ptr<const LoopActivity> activity(std::uint64_t place) const = 0;
  /// Neither dead nor killed.
  [[nodiscard]] virtual bool usable() const = 0;
};

}  // namespace switchyard::engine::worker
