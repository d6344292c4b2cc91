#include <algorithm>
#include <utility>

#include "models/manager_impl.h"
#include "telemetry/log.h"

// Engines that broke. What is left of one keeps its entry, which is gone from the catalog and drains in
// silence; a new entry takes its name, so that the version may load beside it.

namespace switchyard::models {

Status Manager::Impl::mark_broken(const VersionRef& ref, const Error& why, const engine::Engine* only) {
  const MutexLock lock(mutex_);
  if (find(ref) == nullptr && only == nullptr) return std::unexpected(find_or_fail(ref).error());
  const EntryPtr entry = find_broken(ref, only);
  if (entry == nullptr) {
    return fail(ErrorCode::kConflict, "model '" + ref.to_string() + "' has no such engine");
  }
  break_entry(entry, why);
  return {};
}

void Manager::Impl::break_entry(const EntryPtr& entry, const Error& why) {
  if (entry->lost_at) return;  // known
  entry->lost_at = now() + limits_.lost_after;
  if (entry->revocation != nullptr) {
    entry->revocation->why = why;
    entry->revocation->broken = true;
  }
  revoke_leases(*entry);
  // Nobody waits for a process that hangs: its replies end with it.
  if (entry->weights != nullptr) queue([weights = entry->weights] { weights->abandon(); });
  if (!entry->gone) succeed(entry, why);
  begin_drain(entry, {.cause = DrainCause::kDecided, .to = Residency::kCold, .reason = "broken"});
  settle();
}

/// `weights` that tell this manager when they are lost, for as long as somebody holds them. To be let go
/// without the lock, as any weights: that may wait for the news to be told.
std::shared_ptr<engine::Weights> Manager::Impl::watch(const EntryPtr& entry,
                                                      std::shared_ptr<engine::Weights> weights) {
  struct Watched {
    Watched(std::shared_ptr<engine::Weights> of, std::function<void()> when_lost)
        : weights(std::move(of)), on_lost(weights->lost(), std::move(when_lost)) {}
    const std::shared_ptr<engine::Weights> weights;
    const std::stop_callback<std::function<void()>> on_lost;
  };
  const auto watched = std::make_shared<const Watched>(
      std::move(weights), [this, weak = std::weak_ptr(entry)] { weights_lost(weak); });
  return {watched, watched->weights.get()};
}

/// The process that held them has died. A load in it fails by itself.
void Manager::Impl::weights_lost(const std::weak_ptr<Entry>& lost) {
  const EntryPtr entry = lost.lock();
  if (entry == nullptr) return;
  std::shared_ptr<engine::Weights> weights;
  const MutexLock lock(mutex_);
  if (ending_) return;
  weights = entry->weights;
  const State state = entry->state();
  const bool is_there = state == State::kHot || state == State::kDraining || state == State::kParked;
  if (is_there && weights != nullptr && weights->lost().stop_requested())
    break_entry(entry, weights->why_lost());
}

Manager::Impl::EntryPtr Manager::Impl::find_broken(const VersionRef& ref, const engine::Engine* only) const {
  EntryPtr entry = find(ref);
  if (only != nullptr) {
    const auto owner =
        std::ranges::find(active_, only, [](const EntryPtr& candidate) { return candidate->engine.get(); });
    entry = owner == active_.end() ? nullptr : *owner;
  }
  if (entry == nullptr) return nullptr;
  const State state = entry->state();
  const bool is_there = state == State::kHot || state == State::kDraining || state == State::kParked;
  return is_there || entry->lost_at ? entry : nullptr;
}

/// A new entry takes the place of `broken`: failed, and wanted by whoever waited for that one.
void Manager::Impl::succeed(const EntryPtr& broken, const Error& error) {
  const auto next = std::make_shared<Entry>();
  next->ref = broken->ref;
  next->definition = broken->definition;
  next->version_index = broken->version_index;
  next->pinned = broken->pinned;
  next->life = broken->life;
  next->since = broken->since;
  next->inspection = broken->inspection;
  next->stale = broken->stale;
  next->info_json = broken->info_json;
  next->props_json = broken->props_json;
  next->last_load = broken->last_load;
  const bool again = now() - broken->hot_since < limits_.retry_backoff_most;
  next->breaks = again ? broken->breaks : 0;
  if (next->breaks > 0) next->retry_at = now() + backoff_after(next->breaks - 1);
  ++next->breaks;
  remember_error(*next, error);

  auto& entries = models_.find(broken->ref.model)->second.entries;
  *std::ranges::find(entries, broken) = next;
  broken->gone = true;
  broken->silent = true;
  next->waiters = std::exchange(broken->waiters, {});
  for (const auto& waiter : next->waiters) waiter->entry = next.get();
  touch(next);
  transition(*next, State::kFailed, "broken", &error);
}

Duration Manager::Impl::backoff_after(std::uint32_t failures) const {
  const Duration backoff = limits_.retry_backoff_first * (1LL << std::min(failures, 20U));
  return std::min(backoff, limits_.retry_backoff_most);
}

/// Ends a broken engine, if it lets itself be ended.
void Manager::Impl::abandon_task(const EntryPtr& entry, std::unique_ptr<engine::Engine> engine) {
  std::chrono::milliseconds bound;
  {
    const MutexLock lock(mutex_);
    bound = std::chrono::duration_cast<std::chrono::milliseconds>(limits_.lost_after);
  }
  if (engine->abort(bound)) return leave_task(entry, Residency::kCold, std::move(engine));
  const MutexLock lock(mutex_);
  entry->engine = std::move(engine);
  give_up(*entry);
  task_ended();
}

/// Broken engines whose leases do not come back.
void Manager::Impl::note_lost(TimePoint time) {
  for (const EntryPtr& entry : active_) {
    if (!entry->lost_at || entry->lost || entry->leaving) continue;
    if (*entry->lost_at > time) {
      note_wake(*entry->lost_at);
    } else {
      give_up(*entry);
    }
  }
}

void Manager::Impl::give_up(Entry& entry) {
  entry.lost = true;
  const ByteSize bytes = entry.reservation.empty() ? ByteSize() : entry.reservation.charge().total();
  telemetry::log_error("models", "{}: its broken engine does not end; {} are lost until a restart",
                       entry.ref.to_string(), bytes.to_string());
  tell(entry.on_left, fail(ErrorCode::kTimeout, "the engine of model '" + entry.ref.to_string() +
                                                    "' is stuck; its memory is lost until a restart"));
}

std::unexpected<Error> Manager::Impl::fail_quarantined(const Entry& entry) {
  return fail(ErrorCode::kUnavailable,
              "model '" + entry.ref.to_string() + "' is quarantined; `switchyard release " +
                  entry.ref.to_string() + "` lets it be loaded again",
              entry.error ? entry.error->message : std::string());
}

Status Manager::Impl::quarantine(const VersionRef& ref, const std::string& reason) {
  const MutexLock lock(mutex_);
  const auto found = find_or_fail(ref);
  if (!found) return std::unexpected(found.error());
  Entry& entry = **found;
  const bool is_loading = entry.state() == State::kLoading || entry.state() == State::kWarming;
  if (!entry.at_rest() && !is_loading) {
    return fail(ErrorCode::kConflict, "model '" + ref.to_string() + "' is in memory; unload it first");
  }
  entry.quarantined = true;
  entry.inspecting = entry.inspecting == InspectionState::kDone ? InspectionState::kNeeded : entry.inspecting;
  remember_error(entry, {ErrorCode::kUnavailable, reason});
  fail_waiters(entry, fail_quarantined(entry).error());
  if (is_loading) cancel_load(entry);
  settle();
  return {};
}

Status Manager::Impl::end_quarantine(const VersionRef& ref) {
  const MutexLock lock(mutex_);
  const auto found = find_or_fail(ref);
  if (!found) return std::unexpected(found.error());
  Entry& entry = **found;
  if (!entry.quarantined)
    return fail(ErrorCode::kConflict, "model '" + ref.to_string() + "' is not quarantined");
  entry.quarantined = false;
  entry.failures = entry.breaks = 0;
  entry.error.reset();
  entry.retry_at.reset();
  if (entry.state() == State::kFailed) transition(entry, State::kCold, "released");
  settle();
  return {};
}

ByteSize Manager::Impl::lost_bytes(const VersionRef& ref) const {
  ByteSize bytes;
  for (const EntryPtr& entry : active_) {
    if (entry->lost && entry->ref == ref && !entry->reservation.empty())
      bytes = bytes + entry->reservation.charge().total();
  }
  return bytes;
}

}  // namespace switchyard::models
