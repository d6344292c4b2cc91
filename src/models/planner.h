#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/budget.h"
#include "models/types.h"

// What is to be done next about the versions in memory and those that are waited for: a pure
// function of values, so its tests are tables. The manager carries the actions out.

namespace switchyard::models {

/// A version's charges, known once it has been inspected.
struct Footprint {
  Charge hot;
  Charge parked;
  bool operator==(const Footprint&) const = default;
};

enum class InspectionState : std::uint8_t { kNeeded, kRunning, kDone };
enum class DrainCause : std::uint8_t {
  kNone,
  kRoom,      ///< for another version that waits; can be called off
  kDecided,   ///< eviction of an idle one, an idle time, a request: goes on
  kYielding,  ///< nobody is to use it, but whoever does gets it back: called off when it is wanted
};

/// One version that is in memory or waited for.
struct Candidate {
  std::string name;
  State state = State::kCold;
  bool pinned = false;
  std::uint32_t leases = 0;
  bool leaving = false;  ///< its memory is being freed already
  bool broken = false;   ///< draining, takes no place, and leaves soon, unless it is
  bool lost = false;     ///< given up: what it has reserved stays so
  bool blocked = false;  ///< may not begin to load now
  bool can_park = true;
  std::shared_ptr<const Footprint> footprint = {};
  bool stale = false;               ///< the footprint was chosen for other budgets
  std::optional<Charge> held = {};  ///< what it has reserved

  // Who waits for it.
  bool wanted = false;
  bool polite = false;  ///< takes free room only (preload)
  TimePoint waiting_since = {};
  std::uint64_t order = 0;  ///< of the oldest waiter, where times are equal
  InspectionState inspection = InspectionState::kNeeded;

  // Its history and settings.
  TimePoint hot_since = {};
  TimePoint idle_since = {};
  bool used = false;  ///< has answered since it became hot
  Duration came_back_in = {};
  double weight = 1.0;
  std::optional<Duration> park_after = {};
  std::optional<Duration> unload_after = {};

  // While draining.
  DrainCause drain = DrainCause::kNone;
  bool drains_to_cold = false;
  std::optional<std::size_t> drains_for = {};  ///< index of who waits for its room
};

struct Snapshot {
  TimePoint now;
  std::vector<Candidate> candidates;
  Usage usage;  ///< the sum of all `held`
  Budgets budgets;
  std::uint32_t models_max = 0;  ///< 0 = no limit
  Duration max_wait = {};
  std::optional<Duration> min_residency = {};
};

struct Action {
  enum class Kind : std::uint8_t {
    kInspect,
    kLoad,
    kPark,
    kUnload,
    kDrain,        ///< busy: no new leases, then park; for `beneficiary`
    kCallOff,      ///< the drain of a busy one
    kFinishDrain,  ///< no lease is left: free it
    kRefuse,       ///< answer its waiters with `error`
  };
  Kind kind;
  std::size_t index;
  std::string reason = {};  ///< for kPark, kUnload, kDrain: "models_max", "memory", "idle"
  std::optional<std::size_t> beneficiary = {};
  std::optional<Error> error = {};
};

struct Plan {
  std::vector<Action> actions;
  std::optional<TimePoint> wake_at;  ///< when time alone changes the answer; always after `now`
};

[[nodiscard]] Plan make_plan(const Snapshot& snapshot);

}  // namespace switchyard::models
