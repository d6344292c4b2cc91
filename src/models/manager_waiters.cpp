#include <utility>

#include "models/manager_impl.h"

// Leases, and those that wait for them.

namespace switchyard::models {

namespace {

/// Loaded as far as its user is concerned, or about to be: somebody else waits for it.
bool is_in_memory(const Entry& entry) {
  if (!entry.waiters.empty()) return true;
  switch (entry.state()) {
    case State::kLoading:
    case State::kWarming:
    case State::kHot:
    case State::kParked: return true;
    case State::kDraining: return !entry.drain || entry.drain->to == Residency::kParked;
    case State::kCold:
    case State::kUnloading:
    case State::kFailed: return false;
  }
  return false;
}

bool may_make_hot(MakeHot what, const Entry& entry) {
  return what == MakeHot::kAnything || (what == MakeHot::kInMemory && is_in_memory(entry));
}

}  // namespace

Lease Manager::Impl::make_lease(Entry& entry, Use use) {
  ++entry.leases;
  ++leases_;
  if (use == Use::kUser) {
    entry.used = true;
    entry.used_at = now();
  }
  Lease lease;
  lease.use_ = use;
  lease.manager_ = &self_;
  lease.entry_ = &entry;
  lease.engine_ = entry.engine.get();
  lease.ref_ = entry.ref;
  lease.slots_ = entry.inspection->n_slots;
  lease.revocation_ = entry.revocation;
  lease.room_wanted_ = entry.revocation->room.get_token();
  return lease;
}

void Manager::Impl::give_back(Entry& entry, Use use) {
  const MutexLock lock(mutex_);
  --entry.leases;
  --leases_;
  if (use == Use::kUser) entry.used_at = now();
  if (entry.leases == 0) settle();
}

AcquireTicket Manager::Impl::acquire(const VersionRef& ref, const AcquireOptions& options,
                                     std::function<void(Result<Lease>)> done) {
  AcquireTicket ticket;
  Result<Lease> now_or_never = fail(ErrorCode::kUnavailable, "the server is shutting down");
  {
    const MutexLock lock(mutex_);
    const auto entry = find_or_fail(ref);
    if (!entry) {
      now_or_never = std::unexpected(entry.error());
    } else if (shutting_down_) {
      // as it stands
    } else if ((*entry)->state() == State::kHot) {
      now_or_never = make_lease(**entry, options.use);
    } else if ((*entry)->quarantined) {
      now_or_never = fail_quarantined(**entry);
    } else if (!may_make_hot(options.make_hot, **entry)) {
      now_or_never = fail(ErrorCode::kInvalidArgument, "model is not loaded");
    } else {
      auto waiter = add_waiter(*entry, Waiter::Kind::kLease);
      waiter->on_lease = std::move(done);
      waiter->ends_unwanted_load = options.ends_unwanted_load;
      if (options.timeout) waiter->deadline = waiter->since + *options.timeout;
      ticket.manager_ = &self_;
      ticket.waiter_ = std::move(waiter);
      settle();
      return ticket;
    }
  }
  done(std::move(now_or_never));
  return ticket;
}

std::shared_ptr<Waiter> Manager::Impl::add_waiter(const EntryPtr& entry, Waiter::Kind kind) {
  auto waiter = std::make_shared<Waiter>();
  waiter->kind = kind;
  waiter->since = now();
  waiter->order = next_order_++;
  waiter->entry = entry.get();
  entry->waiters.push_back(waiter);
  touch(entry);
  return waiter;
}

void Manager::Impl::forget(const std::shared_ptr<Waiter>& waiter) {
  const MutexLock lock(mutex_);
  Entry* const entry = std::exchange(waiter->entry, nullptr);
  if (entry == nullptr) return;
  std::erase(entry->waiters, waiter);
  const bool is_loading = entry->state() == State::kLoading || entry->state() == State::kWarming;
  if (waiter->ends_unwanted_load && is_loading && entry->waiters.empty()) cancel_load(*entry);
  if (entry->waiters.empty() && entry->inspecting == InspectionState::kDone) {
    entry->inspecting = InspectionState::kNeeded;  // the file may be another by the next demand
  }
  settle();
}

void Manager::Impl::grant_waiters(Entry& entry) {
  for (const auto& waiter : std::exchange(entry.waiters, {})) {
    waiter->entry = nullptr;
    if (waiter->kind == Waiter::Kind::kLease) {
      queue([waiter, lease = make_lease(entry)]() mutable {
        if (!waiter->claimed.exchange(true)) waiter->on_lease(std::move(lease));
      });
    } else if (waiter->on_loaded) {
      queue([waiter] { waiter->on_loaded({}); });
    }
  }
}

void Manager::Impl::fail_waiters(Entry& entry, const Error& error) {
  for (const auto& waiter : std::exchange(entry.waiters, {})) answer_error(waiter, error);
}

void Manager::Impl::answer_error(const std::shared_ptr<Waiter>& waiter, const Error& error) {
  waiter->entry = nullptr;
  if (waiter->kind == Waiter::Kind::kLease) {
    queue([waiter, error] {
      if (!waiter->claimed.exchange(true)) waiter->on_lease(std::unexpected(error));
    });
  } else if (waiter->on_loaded) {
    queue([waiter, error] { waiter->on_loaded(std::unexpected(error)); });
  }
}

void Manager::Impl::tell(std::vector<Leaver>& leavers, const Status& status) {
  for (Leaver& leaver : std::exchange(leavers, {})) {
    if (leaver.done) queue([done = std::move(leaver.done), status] { done(status); });
  }
}

/// Tells those whose patience has ended that it still drains.
void Manager::Impl::report_drains(Entry& entry, TimePoint time) {
  std::vector<Leaver> due;
  for (auto leaver = entry.on_left.begin(); leaver != entry.on_left.end();) {
    if (leaver->report_at && *leaver->report_at <= time) {
      due.push_back(std::move(*leaver));
      leaver = entry.on_left.erase(leaver);
      continue;
    }
    if (leaver->report_at) note_wake(*leaver->report_at);
    ++leaver;
  }
  tell(due, fail(ErrorCode::kTimeout, "model '" + entry.ref.to_string() + "' is still draining"));
}

}  // namespace switchyard::models
