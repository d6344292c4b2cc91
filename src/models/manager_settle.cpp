#include <algorithm>
#include <utility>

#include "models/manager_impl.h"
#include "models/room.h"

// Deciding under the lock, delivering without it.

namespace switchyard::models {
namespace {

/// A plan's actions change what the next plan sees; in practice two rounds settle it.
constexpr int kMostRounds = 8;

}  // namespace

void Manager::Impl::settle() {
  wake_at_.reset();
  if (!ending_) decide();
  deliver();
  if (wake_at_ && (!timer_sleeps_until_ || *wake_at_ < *timer_sleeps_until_)) timer_.notify_all();
}

void Manager::Impl::decide() {
  expire();
  for (int round = 0; round < kMostRounds; ++round) {
    drop_inactive();
    std::vector<EntryPtr> order;
    const Plan plan = make_plan(snapshot(order));
    if (plan.actions.empty()) {
      if (plan.wake_at) note_wake(*plan.wake_at);
      break;
    }
    for (const Action& action : plan.actions) apply(action, order);
  }
  prefetch_next();
  inspect_in_background();
}

void Manager::Impl::deliver() {
  if (delivering_) return;  // whoever delivers now takes ours along, in order
  delivering_ = true;
  while (!outbox_.empty()) {
    std::vector<Task> items = std::exchange(outbox_, {});
    mutex_.unlock();
    for (Task& item : items) {
      item();
      item = nullptr;  // a lease that nobody took goes back here
    }
    mutex_.lock();
  }
  delivering_ = false;
  idle_.notify_all();
}

void Manager::Impl::note_wake(TimePoint when) {
  if (!wake_at_ || when < *wake_at_) wake_at_ = when;
}

void Manager::Impl::expire() {
  const TimePoint time = now();
  note_lost(time);
  for (const EntryPtr& entry : active_) {
    const auto waiters = entry->waiters;
    for (const auto& waiter : waiters) {
      if (!waiter->deadline) continue;
      if (*waiter->deadline > time) {
        note_wake(*waiter->deadline);
        continue;
      }
      std::erase(entry->waiters, waiter);
      answer_error(waiter,
                   {ErrorCode::kTimeout, "model '" + entry->ref.to_string() + "' did not get ready in time"});
    }
    report_drains(*entry, time);
    if (entry->drain && entry->drain->deadline) {
      if (*entry->drain->deadline > time) {
        note_wake(*entry->drain->deadline);
      } else {
        entry->drain->deadline.reset();
        revoke_leases(*entry);
      }
    }
  }
}

void Manager::Impl::drop_inactive() {
  std::erase_if(active_, [](const EntryPtr& entry) {
    entry->listed = !entry->at_rest() || !entry->waiters.empty();
    return !entry->listed;
  });
}

void Manager::Impl::touch(const EntryPtr& entry) {
  if (entry->listed) return;
  entry->listed = true;
  active_.push_back(entry);
}

Candidate Manager::Impl::candidate(const Entry& entry) const {
  const bool hot_once = entry.state() == State::kHot || entry.state() == State::kDraining;
  Candidate c{.name = entry.ref.to_string(),
              .state = entry.state(),
              .pinned = (entry.pinned || entry.keeps > 0) && !entry.gone,
              .leases = entry.leases,
              .leaving = entry.leaving,
              .broken = entry.lost_at.has_value(),
              .lost = entry.lost,
              .blocked = (entry.replaces && entry.replaces->in_the_way()) ||
                         (entry.inspection && releasing_keys_.contains(entry.inspection->weights_key)),
              .can_park = !hot_once || entry.weights != nullptr,
              .footprint = entry.footprint(),
              .stale = entry.stale,
              .wanted = !entry.waiters.empty(),
              .inspection = entry.inspecting,
              .hot_since = entry.hot_since,
              .idle_since = entry.used_at,
              .used = entry.used,
              .came_back_in = entry.time_to_come_back(),
              .weight = entry.settings().weight,
              .park_after = entry.settings().park_after,
              .unload_after = entry.settings().unload_after};
  if (!entry.reservation.empty()) c.held = entry.reservation.charge();
  if (c.wanted) {
    c.waiting_since = entry.waiters.front()->since;
    c.order = entry.waiters.front()->order;
    c.polite = std::ranges::all_of(entry.waiters,
                                   [](const auto& waiter) { return waiter->kind == Waiter::Kind::kPreload; });
  }
  if (entry.drain) {
    c.drain = entry.drain->cause;
    c.drains_to_cold = entry.drain->to == Residency::kCold;
  }
  return c;
}

Snapshot Manager::Impl::snapshot(std::vector<EntryPtr>& order) const {
  order = active_;
  Snapshot snapshot{.now = now(),
                    .candidates = {},
                    .usage = ledger_.usage(),
                    .budgets = budgets(),
                    .models_max = limits_.models_max,
                    .max_wait = limits_.max_wait,
                    .min_residency = limits_.min_residency};
  for (const EntryPtr& entry : order) {
    Candidate c = candidate(*entry);
    if (entry->drain && entry->drain->beneficiary != nullptr) {
      const auto found = std::ranges::find(order, entry->drain->beneficiary, &EntryPtr::get);
      if (found != order.end()) c.drains_for = static_cast<std::size_t>(found - order.begin());
    }
    snapshot.candidates.push_back(std::move(c));
  }
  return snapshot;
}

void Manager::Impl::apply(const Action& action, const std::vector<EntryPtr>& order) {
  const EntryPtr& entry = order[action.index];
  switch (action.kind) {
    case Action::Kind::kInspect: begin_inspection(entry); break;
    case Action::Kind::kLoad: begin_load(entry); break;
    case Action::Kind::kPark:
    case Action::Kind::kUnload: {
      const Residency to = action.kind == Action::Kind::kPark ? Residency::kParked : Residency::kCold;
      begin_drain(entry, {.cause = DrainCause::kDecided, .to = to, .reason = action.reason});
      break;
    }
    case Action::Kind::kDrain:
      begin_drain(entry, {.cause = DrainCause::kRoom,
                          .to = Residency::kParked,
                          .reason = action.reason,
                          .beneficiary = order[*action.beneficiary].get()});
      break;
    case Action::Kind::kCallOff: call_off_drain(*entry); break;
    case Action::Kind::kFinishDrain: begin_leaving(entry); break;
    case Action::Kind::kRefuse: refuse(*entry, *action.error); break;
  }
}

void Manager::Impl::inspect_in_background() {
  if (tasks_ > 0 || shutting_down_) return;  // one at a time, and when nothing else goes on
  if (std::ranges::any_of(active_, [](const EntryPtr& entry) { return !entry->waiters.empty(); })) return;
  while (!to_inspect_.empty()) {
    const EntryPtr entry = to_inspect_.back().lock();
    to_inspect_.pop_back();
    if (entry == nullptr || entry->gone || entry->inspection ||
        entry->inspecting != InspectionState::kNeeded) {
      continue;
    }
    begin_inspection(entry);
    return;
  }
}

/// Whoever is inspected and waits for room has its file read meanwhile.
void Manager::Impl::prefetch_next() {
  for (const EntryPtr& entry : active_) {
    const bool waits_for_room =
        entry->at_rest() && !entry->waiters.empty() && entry->inspecting == InspectionState::kDone;
    if (waits_for_room && !entry->prefetched && !shutting_down_) {
      run_on_executor([this, spec = entry->spec()] {
        dependencies_.loader.prefetch(spec, stop_inspections_.get_token());
        const MutexLock lock(mutex_);
        task_ended();
      });
    }
    entry->prefetched = waits_for_room;
  }
}

void Manager::Impl::run_on_executor(std::function<void()> work) {
  ++tasks_;
  queue([this, work = std::move(work)]() mutable { dependencies_.executor.post(std::move(work)); });
}

void Manager::Impl::task_ended() {
  --tasks_;
  settle();
  idle_.notify_all();
}

void Manager::Impl::timer_loop() {
  const MutexLock lock(mutex_);
  while (!ending_) {
    answer_pulses();
    settle();
    if (ending_) break;
    if (!pulses_.empty()) continue;  // asked for while settling, when nobody slept who could be woken
    timer_sleeps_until_ = wake_at_;
    if (wake_at_) {
      timer_.wait_until(mutex_, *wake_at_);
    } else {
      timer_.wait(mutex_);
    }
  }
}

}  // namespace switchyard::models
