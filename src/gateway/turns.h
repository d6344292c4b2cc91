#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "gateway/fair_queue.h"
#include "models/types.h"

namespace switchyard::gateway {

/// Turns of requests at the slots of hot engines: a fair queue for each version. Any thread; callbacks run on
/// the thread of whoever made room, not under the lock, and must not block.
class Turns {
 public:
  explicit Turns(const Clock& clock) : clock_(clock) {}
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  /// One that wants to begin, and what it is told.
  struct Applicant {
    models::VersionRef version;
    std::uint32_t slots = 0;  ///< of the version's engine; 0: not known, all begin
    Party party = {};
    std::uint64_t prompt_tokens = 0;        ///< about
    std::function<void()> begin;            ///< it has a slot, until end()
    std::function<void()> give_up = [] {};  ///< background ones: others want the slot
  };
  using Id = FairQueue::Id;

  /// Takes it up; it does not wait before wait() has been called with what this returns. Never 0.
  [[nodiscard]] Id enter(Applicant applicant) EXCLUDES(mutex_);
  /// It may begin from now on: often within this call. Nothing happens where it has ended.
  void wait(Id id) EXCLUDES(mutex_);
  /// It is over, has gone, or will not begin: whose turn it is now begins. `tokens`: what it took; nothing
  /// where that is not known. Of one that is not there: nothing happens.
  void end(Id id, std::optional<std::uint64_t> tokens) EXCLUDES(mutex_);
  /// For what comes from now on.
  void set(FairnessSettings settings) EXCLUDES(mutex_);
  /// Time has passed.
  void look_again() EXCLUDES(mutex_);

  /// Requests that wait for a slot, by model.
  [[nodiscard]] std::map<std::string, std::uint32_t> waiting() const EXCLUDES(mutex_);

 private:
  struct Place {
    Applicant applicant;
    bool waits = false;
  };
  using Calls = std::vector<std::function<void()>>;
  void decide(const models::VersionRef& version, Calls& calls) REQUIRES(mutex_);

  const Clock& clock_;
  mutable Mutex mutex_;
  FairnessSettings settings_ GUARDED_BY(mutex_);
  Id last_ GUARDED_BY(mutex_) = 0;
  std::map<Id, Place> places_ GUARDED_BY(mutex_);
  std::map<models::VersionRef, FairQueue> queues_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::gateway
