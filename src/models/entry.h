#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "models/budget.h"
#include "models/lifecycle.h"
#include "models/manager.h"
#include "models/planner.h"

// What the manager knows of one version and of those that wait for it. Guarded by the manager's lock.

namespace switchyard::models {

struct Entry;

/// Somebody who wants a version hot.
struct Waiter {
  enum class Kind : std::uint8_t {
    kLease,    ///< a request: gets a lease
    kLoad,     ///< load() or resume(): is told; a failed load is tried again before its time
    kPreload,  ///< takes free room only
  };
  Kind kind = Kind::kLease;
  TimePoint since;
  std::uint64_t order = 0;
  std::optional<TimePoint> deadline = {};
  Entry* entry = nullptr;  ///< null once answered or cancelled
  /// Set by whoever answers or cancels first; the other one does nothing.
  std::atomic<bool> claimed = false;
  bool ends_unwanted_load = false;
  std::function<void(Result<Lease>)> on_lease = {};
  Manager::Done on_loaded = {};
};

/// Somebody who has sent a version away and is told how it went.
struct Leaver {
  Manager::Done done;
  std::function<void()> drained = {};
  std::optional<TimePoint> report_at = {};  ///< told kTimeout then
};

/// Why and whereto a version drains.
struct Drain {
  DrainCause cause = DrainCause::kNone;
  Residency to = Residency::kParked;
  std::string reason;
  std::optional<TimePoint> deadline = {};  ///< leases are revoked then
  Entry* beneficiary = nullptr;
};

/// A catalog has thousands that nobody uses: what only a few of them have is behind a pointer.
struct Entry {
  VersionRef ref;
  std::shared_ptr<const ModelDefinition> definition;  ///< replaced when only settings change
  std::size_t version_index = 0;
  bool pinned = false;

  Lifecycle life;
  TimePoint since;                   ///< of the state
  bool listed = false;               ///< among the manager's active ones
  bool gone = false;                 ///< no longer in the catalog: freed as soon as nobody uses it
  std::shared_ptr<Entry> replaces;   ///< must have left memory before this one loads, but see below
  bool hands_weights_over = false;   ///< gone, and replaced by other settings of the same file: leaves its
                                     ///< weights in memory until that one is hot or has failed
  bool silent = false;               ///< gone, and its name's news are its successor's
  std::optional<TimePoint> lost_at;  ///< gone, because it is broken: given up if it has not left by then
  bool lost = false;                 ///< given up: what it takes is nobody's any more

  std::vector<std::shared_ptr<Waiter>> waiters;  ///< oldest first
  std::vector<Leaver> on_left;                   ///< park(), unload() and leave() in progress

  InspectionState inspecting = InspectionState::kNeeded;
  std::stop_source stop_inspection{std::nostopstate};
  bool prefetched = false;  ///< while it waits for room
  std::shared_ptr<const engine::Inspection> inspection;
  bool stale = false;  ///< inspected for other budgets
  MemoryReservation reservation;

  std::unique_ptr<engine::Engine> engine;
  std::shared_ptr<const engine::LoopActivity> activity;  ///< the engine's
  std::shared_ptr<engine::Weights> weights;
  std::shared_ptr<const std::string> info_json;
  std::shared_ptr<const std::string> props_json;
  std::uint32_t leases = 0;
  std::uint32_t keeps = 0;                 ///< stays hot meanwhile, whoever waits for room
  bool uses_pages = false;                 ///< an engine of these weights exists or is being made
  bool leaving = false;                    ///< its memory is being freed
  bool weights_were_held = false;          ///< the last load came from parked
  std::shared_ptr<Revocation> revocation;  ///< of the engine's leases
  std::stop_source stop_load{std::nostopstate};
  std::unique_ptr<Drain> drain;

  bool quarantined = false;  ///< at rest, or soon so, and not to be loaded: `error` says why
  std::unique_ptr<const Error> error;
  std::uint32_t failures = 0;  ///< loads in a row
  std::uint32_t breaks = 0;    ///< engines in a row
  std::optional<TimePoint> retry_at;
  std::unique_ptr<const engine::LoadProgress> progress;
  TimePoint progress_told;

  TimePoint load_began;
  TimePoint hot_since;
  TimePoint used_at;
  bool used = false;
  std::optional<Duration> last_load;

  [[nodiscard]] State state() const { return life.state(); }
  /// Whether one that replaces it may not load yet. What uses the same weights loads beside replies that
  /// still run; while none does it waits, because an engine's end gives back its conversations.
  [[nodiscard]] bool in_the_way() const {
    if (lost) return false;
    if (!hands_weights_over) return !at_rest();
    return !at_rest() && state() != State::kParked && leases == 0;
  }
  /// Nothing in memory and nothing going on.
  [[nodiscard]] bool at_rest() const { return state() == State::kCold || state() == State::kFailed; }
  [[nodiscard]] const engine::ModelSpec& spec() const { return definition->versions[version_index]; }
  [[nodiscard]] const ModelSettings& settings() const { return definition->settings; }
  /// Null before the inspection. Made anew each time: most of a large catalog needs none.
  [[nodiscard]] std::shared_ptr<const Footprint> footprint() const {
    if (inspection == nullptr) return nullptr;
    return std::make_shared<const Footprint>(hot_charge(*inspection), parked_charge(*inspection));
  }
  /// What it takes while parked, now that it is.
  [[nodiscard]] Charge charge_as_parked() const {
    Charge parked = parked_charge(*inspection);
    return weights != nullptr && weights->copies_dropped() ? without_copies(std::move(parked)) : parked;
  }
  /// What the next return is expected to take: as long as the last one, or a guess by the file's size.
  [[nodiscard]] Duration time_to_come_back() const {
    if (last_load) return *last_load;
    constexpr double kGuessedBytesPerSecond = 500e6;
    const double bytes = inspection ? static_cast<double>(inspection->file_size.bytes()) : 0;
    return std::chrono::milliseconds(50) + std::chrono::duration_cast<Duration>(
                                               std::chrono::duration<double>(bytes / kGuessedBytesPerSecond));
  }
};

}  // namespace switchyard::models
