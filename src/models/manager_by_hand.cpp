#include <utility>

#include "base/free_memory.h"
#include "models/eviction.h"
#include "models/manager_impl.h"

// Residency by hand, pins, time and the end.

namespace switchyard::models {
namespace {

constexpr std::chrono::seconds kAbortAtTheEnd{1};

Error cancelled_by_unload(const Entry& entry) {
  return {ErrorCode::kCancelled, "model '" + entry.ref.to_string() + "' was unloaded"};
}

std::unexpected<Error> shutting_down() {
  return fail(ErrorCode::kUnavailable, "the server is shutting down");
}

}  // namespace

Manager::Impl::Impl(Manager& self, Dependencies dependencies, Limits limits)
    : self_(self), dependencies_(dependencies), limits_(std::move(limits)) {
  if (dependencies_.own_timer) timer_thread_ = std::thread([this] { timer_loop(); });
}

Manager::Impl::~Impl() {
  stop_inspections_.request_stop();
  std::vector<std::unique_ptr<engine::Engine>> engines, broken;
  std::vector<std::shared_ptr<engine::Weights>> weights;
  {
    const MutexLock lock(mutex_);
    shutting_down_ = true;
    ending_ = true;
    timer_.notify_all();
    for (const EntryPtr& entry : active_) {
      fail_waiters(*entry, shutting_down().error());
      revoke_leases(*entry);
      cancel_load(*entry);
    }
    deliver();
    while (tasks_ > 0 || leases_ > 0 || delivering_ || !outbox_.empty()) idle_.wait(mutex_);
    for (const EntryPtr& entry : active_) {
      auto& kind = entry->lost_at ? broken : engines;
      if (entry->engine != nullptr) kind.push_back(std::move(entry->engine));
      weights.push_back(std::move(entry->weights));
      entry->reservation.release();
    }
  }
  engines.clear();
  for (auto& engine : broken) {  // what cannot be destroyed is left to the end of the process
    if (!engine->abort(kAbortAtTheEnd)) (void)engine.release();
  }
  if (timer_thread_.joinable()) timer_thread_.join();
}

void Manager::Impl::cancel_load(Entry& entry) {
  queue([stop = entry.stop_load]() mutable { stop.request_stop(); });
}

Status Manager::Impl::load(const VersionRef& ref, Done done) {
  return begin_to_want(ref, Waiter::Kind::kLoad, std::move(done));
}

Status Manager::Impl::preload(const VersionRef& ref, Done done) {
  return begin_to_want(ref, Waiter::Kind::kPreload, std::move(done));
}

Status Manager::Impl::begin_to_want(const VersionRef& ref, Waiter::Kind kind, Done done) {
  const MutexLock lock(mutex_);
  const auto entry = find_or_fail(ref);
  if (!entry) return std::unexpected(entry.error());
  if (shutting_down_) return shutting_down();
  if ((*entry)->state() == State::kHot) {
    if (done) queue([done = std::move(done)] { done({}); });
  } else if ((*entry)->quarantined) {
    return fail_quarantined(**entry);
  } else {
    add_waiter(*entry, kind)->on_loaded = std::move(done);
  }
  settle();
  return {};
}

Status Manager::Impl::resume(const VersionRef& ref, Done done) {
  {
    const MutexLock lock(mutex_);
    const auto entry = find_or_fail(ref);
    if (!entry) return std::unexpected(entry.error());
    const State state = (*entry)->state();
    if (state != State::kParked && state != State::kHot) {
      return fail(ErrorCode::kConflict, "model '" + ref.to_string() + "' is " +
                                            std::string(to_string(state)) + ", not parked; load it");
    }
  }
  return load(ref, std::move(done));
}

Status Manager::Impl::unload(const VersionRef& ref, Done done) {
  const MutexLock lock(mutex_);
  const auto found = find_or_fail(ref);
  if (!found) return std::unexpected(found.error());
  const EntryPtr& entry = *found;
  fail_waiters(*entry, cancelled_by_unload(*entry));
  entry->on_left.push_back({.done = std::move(done)});
  const TimePoint deadline = now() + entry->settings().drain_timeout;
  Drain drain{
      .cause = DrainCause::kDecided, .to = Residency::kCold, .reason = "request", .deadline = deadline};
  switch (entry->state()) {
    case State::kFailed: transition(*entry, State::kCold, "request"); [[fallthrough]];
    case State::kCold:
      if (!entry->quarantined) entry->error.reset();
      entry->retry_at.reset();
      tell(entry->on_left, {});
      break;
    case State::kLoading:
    case State::kWarming: cancel_load(*entry); break;
    case State::kHot:
    case State::kDraining:
    case State::kParked: begin_drain(entry, std::move(drain)); break;
    case State::kUnloading: break;
  }
  settle();
  return {};
}

Status Manager::Impl::park(const VersionRef& ref, Done done) {
  const MutexLock lock(mutex_);
  const auto found = find_or_fail(ref);
  if (!found) return std::unexpected(found.error());
  const EntryPtr& entry = *found;
  const State state = entry->state();
  const bool leaves_for_good =
      state == State::kDraining && entry->drain && entry->drain->to == Residency::kCold;
  if (leaves_for_good || (state != State::kHot && state != State::kDraining && state != State::kParked)) {
    return fail(ErrorCode::kConflict, "model '" + ref.to_string() + "' is " + std::string(to_string(state)) +
                                          "; only a loaded one can be parked");
  }
  entry->on_left.push_back({.done = std::move(done)});
  if (state == State::kParked) {
    tell(entry->on_left, {});
  } else {
    begin_drain(entry, {.cause = DrainCause::kDecided, .to = Residency::kParked, .reason = "request"});
  }
  settle();
  return {};
}

Status Manager::Impl::leave(const VersionRef& ref, LeaveOptions options, Done done) {
  const MutexLock lock(mutex_);
  const auto found = find_or_fail(ref);
  if (!found) return std::unexpected(found.error());
  const EntryPtr& entry = *found;
  const State state = entry->state();
  if (state == State::kLoading || state == State::kWarming) {
    return fail(ErrorCode::kConflict, "model '" + ref.to_string() + "' is being loaded");
  }
  Leaver leaver{.done = std::move(done), .drained = std::move(options.drained)};
  Drain drain{
      .cause = options.when_wanted == WhenWanted::kCallOff ? DrainCause::kYielding : DrainCause::kDecided,
      .to = options.to,
      .reason = "switch"};
  if (options.bound) {
    auto& due = options.at_bound == AtBound::kRevoke ? drain.deadline : leaver.report_at;
    due = now() + *options.bound;
  }
  entry->on_left.push_back(std::move(leaver));
  const bool is_there = entry->at_rest() || (state == State::kParked && options.to == Residency::kParked);
  if (is_there) {
    tell(entry->on_left, {});
  } else if (state != State::kUnloading) {
    begin_drain(entry, std::move(drain));
  }
  settle();
  return {};
}

void Manager::Impl::stay(const VersionRef& ref) {
  const MutexLock lock(mutex_);
  const EntryPtr entry = find(ref);
  if (entry == nullptr || entry->state() != State::kDraining || entry->leaving) return;
  call_off_drain(*entry);
  settle();
}

Manager::Impl::EntryPtr Manager::Impl::keep(const VersionRef& ref) {
  const MutexLock lock(mutex_);
  EntryPtr entry = find(ref);
  if (entry != nullptr) ++entry->keeps;
  return entry;
}

void Manager::Impl::let_go(const EntryPtr& entry) {
  const MutexLock lock(mutex_);
  if (--entry->keeps == 0) settle();
}

void Manager::Impl::inspect(const VersionRef& ref, std::function<void(Result<engine::Inspection>)> done) {
  const MutexLock lock(mutex_);
  const auto found = find_or_fail(ref);
  if (!found || shutting_down_) {
    queue([done = std::move(done), error = found ? shutting_down().error() : found.error()] {
      done(std::unexpected(error));
    });
  } else {
    run_on_executor(
        [this, entry = *found, spec = (*found)->spec(), options = inspect_options(), done = std::move(done)] {
          auto result = dependencies_.loader.inspect(spec, options, stop_inspections_.get_token());
          if (result) release(result->details_json);
          const MutexLock task_lock(mutex_);
          if (result && entry->at_rest() && entry->inspecting == InspectionState::kNeeded) {
            keep(*entry, *result);
          }
          queue([done, result = std::move(result)]() mutable { done(std::move(result)); });
          task_ended();
        });
  }
  settle();
}

Status Manager::Impl::pin(std::string_view model_id, bool pinned) {
  const MutexLock lock(mutex_);
  const auto model = models_.find(model_id);
  if (model == models_.end()) return unknown_model(model_id);
  model->second.pinned = pinned;
  for (const EntryPtr& entry : model->second.entries) entry->pinned = pinned;
  settle();
  return {};
}

Manager::Shed Manager::Impl::shed(ByteSize bytes) {
  const MutexLock lock(mutex_);
  std::vector<EntryPtr> order;
  const Shedding chosen = choose_to_shed(snapshot(order), bytes);
  Shed shed{.versions = {}, .bytes = chosen.bytes};
  for (const std::size_t index : chosen.indices) {
    shed.versions.push_back(order[index]->ref);
    begin_drain(order[index], {.cause = DrainCause::kDecided, .to = Residency::kCold, .reason = "pressure"});
  }
  settle();
  return shed;
}

void Manager::Impl::pulse(std::function<void()> done) {
  const MutexLock lock(mutex_);
  pulses_.emplace_back(std::move(done));
  timer_.notify_all();
}

void Manager::Impl::answer_pulses() {
  for (Task& pulse : std::exchange(pulses_, {})) queue(std::move(pulse));
}

void Manager::Impl::tick() {
  const MutexLock lock(mutex_);
  answer_pulses();
  settle();
}

void Manager::Impl::begin_shutdown() {
  const MutexLock lock(mutex_);
  shutting_down_ = true;
  for (const EntryPtr& entry : active_) {
    std::erase_if(entry->waiters, [](const auto& w) { return w->kind == Waiter::Kind::kPreload; });
  }
  for (const auto& [id, model] : models_) {
    for (const EntryPtr& entry : model.entries) {
      if (entry->inspecting != InspectionState::kRunning || !entry->waiters.empty()) continue;
      queue([stop = entry->stop_inspection]() mutable { stop.request_stop(); });
    }
  }
  settle();
}

void Manager::Impl::drain_all(Duration bound) {
  begin_shutdown();
  const auto deadline = std::chrono::steady_clock::now() + bound;
  const MutexLock lock(mutex_);
  for (const EntryPtr& entry : active_) fail_waiters(*entry, shutting_down().error());
  settle();
  while (leases_ > 0 && std::chrono::steady_clock::now() < deadline) idle_.wait_until(mutex_, deadline);
  if (leases_ == 0) return;
  for (const EntryPtr& entry : active_) revoke_leases(*entry);
  deliver();
  while (leases_ > 0) idle_.wait(mutex_);
}

}  // namespace switchyard::models
