#include <algorithm>
#include <utility>

#include "base/free_memory.h"
#include "models/manager_impl.h"
#include "telemetry/log.h"

// Carrying out: inspections, loads, drains, and what frees memory. The slow halves run as tasks on the
// executor, without the lock.

namespace switchyard::models {
namespace {

constexpr Duration kProgressInterval = std::chrono::milliseconds(100);

double in_ms(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

std::string_view cause_of(const Entry& entry) {
  for (const auto& waiter : entry.waiters) {
    if (waiter->kind == Waiter::Kind::kLease) return "request";
    if (waiter->kind == Waiter::Kind::kLoad) return "load";
  }
  return "preload";
}

}  // namespace

namespace {

/// With which context and layers it was loaded, for the log and for whoever listens.
void describe_size(const Entry& entry, telemetry::Event& event) {
  if (!entry.inspection) return;
  const engine::Inspection& inspection = *entry.inspection;
  event.numbers["n_ctx"] = inspection.n_ctx;
  event.numbers["n_ctx_train"] = inspection.n_ctx_train;
  event.numbers["n_layers"] = inspection.n_layers;
  const auto given = entry.spec().args.find("ctx-size");
  if (given == entry.spec().args.end() || given->second == "0")
    event.text["n_ctx_chosen_by"] = " (the most that the budget admits)";
  const auto layers = inspection.resolved_args.find("n-gpu-layers");
  if (layers != inspection.resolved_args.end()) event.text["n_gpu_layers"] = layers->second;
}

}  // namespace

void Manager::Impl::transition(Entry& entry, State to, std::string_view cause, const Error* error) {
  const State from = entry.state();
  if (const Status moved = entry.life.move_to(to); !moved) {
    telemetry::log_error("models", "{}: {}", entry.ref.to_string(), moved.error().message);
    return;
  }
  tell_state(entry, from, cause, error);
  entry.since = now();
}

void Manager::Impl::tell_state(const Entry& entry, State from, std::string_view cause, const Error* error) {
  if (entry.silent) return;
  const State to = entry.state();
  telemetry::Event event;
  event.type = "state";
  event.model = entry.ref.model;
  event.version = entry.ref.version;
  event.text = {{"from", std::string(to_string(from))},
                {"to", std::string(to_string(to))},
                {"cause", std::string(cause)}};
  if (error != nullptr) event.text["error"] = error->to_string();
  event.numbers["duration_ms"] = in_ms(now() - entry.since);
  if (to == State::kHot && from == State::kWarming) {
    event.numbers["load_ms"] = in_ms(now() - entry.load_began);
    event.text["origin"] = entry.weights_were_held ? "parked" : "cold";
    describe_size(entry, event);
  }
  queue([this, event = std::move(event)]() mutable { dependencies_.events.publish(std::move(event)); });
}

void Manager::Impl::begin_inspection(const EntryPtr& entry) {
  entry->inspecting = InspectionState::kRunning;
  entry->stop_inspection = std::stop_source();
  run_on_executor([this, entry, spec = entry->spec(), options = inspect_options(),
                   stop = entry->stop_inspection]() mutable {
    const std::stop_callback at_the_end(stop_inspections_.get_token(), [&] { stop.request_stop(); });
    auto result = dependencies_.loader.inspect(spec, options, stop.get_token());
    if (result) release(result->details_json);  // large, and only `switchyard inspect` shows it
    const MutexLock lock(mutex_);
    inspected(*entry, std::move(result));
    task_ended();
  });
}

void Manager::Impl::inspected(Entry& entry, Result<engine::Inspection> result) {
  entry.inspecting = InspectionState::kNeeded;
  entry.stop_inspection = std::stop_source(std::nostopstate);
  const bool of_parked = std::exchange(entry.stale, false) && entry.state() == State::kParked;
  if (of_parked && (!result || result->weights_key != entry.inspection->weights_key)) {
    return;  // what is parked stays what it is, whatever its file is now
  }
  if (!result) {
    entry.retry_at.reset();
    remember_error(entry, result.error());
    if (!entry.waiters.empty()) refuse(entry, result.error());
    return;
  }
  const auto before = entry.footprint();
  keep(entry, std::move(*result));
  if (before == nullptr || *before != *entry.footprint()) {
    entry.retry_at.reset();  // another file than the one that failed
  }
  if (entry.state() == State::kCold && !entry.quarantined) entry.error.reset();
  if (entry.waiters.empty() || refuse_too_early(entry)) return;
  entry.inspecting = InspectionState::kDone;
}

/// After a failed load, requests get its error until it is time to try again; load() always tries.
bool Manager::Impl::refuse_too_early(Entry& entry) {
  if (!entry.retry_at || *entry.retry_at <= now() || !entry.error) return false;
  if (std::ranges::any_of(entry.waiters, [](const auto& w) { return w->kind == Waiter::Kind::kLoad; }))
    return false;
  entry.inspecting = InspectionState::kNeeded;
  fail_waiters(entry, *entry.error);
  return true;
}

void Manager::Impl::remember_error(Entry& entry, const Error& error) {
  const bool new_to_us = !entry.error || entry.error->message != error.message;
  entry.error = std::make_unique<const Error>(error);
  if (new_to_us) telemetry::log_warning("models", "{}: {}", entry.ref.to_string(), error.to_string());
}

void Manager::Impl::refuse(Entry& entry, const Error& error) {
  const bool preload_without_room = error.code == ErrorCode::kUnavailable;
  if (!preload_without_room) {
    ++counters_.loads_failed;
    remember_error(entry, error);
    if (entry.state() == State::kCold) {
      transition(entry, State::kFailed, "refused", &error);
    } else if (entry.state() == State::kFailed) {
      tell_state(entry, State::kFailed, "refused", &error);  // whoever asked again waits for news of it
    }
  } else {
    telemetry::log_warning("models", "{}", error.message);
  }
  entry.inspecting = InspectionState::kNeeded;
  release_replaced(entry);
  fail_waiters(entry, error);
}

void Manager::Impl::begin_load(const EntryPtr& entry) {
  if (refuse_too_early(*entry)) return;
  auto reservation = ledger_.reserve(entry->footprint()->hot, budgets(), entry->reservation);
  if (!reservation) return refuse(*entry, reservation.error());
  entry->reservation = std::move(*reservation);
  entry->weights_were_held =
      entry->state() == State::kParked || (entry->replaces && entry->replaces->hands_weights_over);
  transition(*entry, State::kLoading, cause_of(*entry));
  entry->inspecting = InspectionState::kNeeded;
  entry->stop_load = std::stop_source();
  entry->uses_pages = true;
  entry->load_began = now();
  entry->progress = std::make_unique<const engine::LoadProgress>();
  entry->progress_told = {};
  run_on_executor([this, entry, spec = entry->spec(), inspection = entry->inspection,
                   stop = entry->stop_load.get_token()] { load_task(entry, spec, *inspection, stop); });
}

void Manager::Impl::load_task(const EntryPtr& entry, const engine::ModelSpec& spec,
                              const engine::Inspection& inspection, const std::stop_token& stop) {
  auto engine = dependencies_.loader.load(
      spec, inspection, [&](const engine::LoadProgress& progress) { on_progress(*entry, progress); }, stop);
  std::shared_ptr<engine::Weights> weights;
  std::shared_ptr<const std::string> info, props;
  if (engine) {
    weights = watch(entry, (*engine)->weights());
    info = std::make_shared<const std::string>((*engine)->info_json());
    props = std::make_shared<const std::string>((*engine)->props_json());
  }
  const MutexLock lock(mutex_);
  std::optional<Error> too_late;
  if (engine && stop.stop_requested())
    too_late = Error{ErrorCode::kCancelled, "the load was cancelled"};
  else if (engine && weights->lost().stop_requested())
    too_late = weights->why_lost();
  if (too_late) {
    mutex_.unlock();
    weights.reset();
    engine = std::unexpected(*too_late);
    mutex_.lock();
  }
  if (!engine && entry->weights != nullptr && entry->weights->lost().stop_requested())
    std::swap(weights, entry->weights);  // it was parked, in the process that has died
  entry->progress.reset();
  if (engine) {
    entry->activity = (*engine)->activity();
    entry->engine = std::move(*engine);
    std::swap(entry->weights, weights);
    entry->info_json = std::move(info);
    entry->props_json = std::move(props);
    load_succeeded(entry);
  } else {
    entry->uses_pages = false;
    if (entry->weights != nullptr) give_pages_back(*entry);
    load_ended_badly(entry, engine.error(), stop.stop_requested());
  }
  task_ended();
}

void Manager::Impl::on_progress(Entry& entry, const engine::LoadProgress& progress) {
  const MutexLock lock(mutex_);
  const bool new_stage = !entry.progress || entry.progress->stage != progress.stage;
  entry.progress = std::make_unique<const engine::LoadProgress>(progress);
  if (progress.stage == "warmup" && entry.state() == State::kLoading) {
    transition(entry, State::kWarming, "loaded");
  }
  const TimePoint time = now();
  if (new_stage || progress.value >= 1 || time - entry.progress_told >= kProgressInterval) {
    entry.progress_told = time;
    telemetry::Event event;
    event.type = "load_progress";
    event.model = entry.ref.model;
    event.version = entry.ref.version;
    event.text = {{"stage", progress.stage}, {"stages", join(progress.stages)}};
    event.numbers = {{"progress", progress.value}};
    queue([this, event = std::move(event)]() mutable { dependencies_.events.publish(std::move(event)); });
  }
  deliver();
}

void Manager::Impl::load_succeeded(const EntryPtr& entry) {
  if (entry->state() == State::kLoading) transition(*entry, State::kWarming, "loaded");
  const TimePoint time = now();
  entry->last_load = time - entry->load_began;
  entry->hot_since = time;
  entry->used_at = time;
  entry->used = false;
  entry->failures = 0;
  entry->error.reset();
  entry->retry_at.reset();
  entry->revocation = std::make_shared<Revocation>();
  ++counters_.loads_ok;
  transition(*entry, State::kHot, "answers");
  release_replaced(*entry);
  grant_waiters(*entry);
}

void Manager::Impl::load_ended_badly(const EntryPtr& loading, const Error& error, bool cancelled) {
  Entry& entry = *loading;
  if (cancelled) {
    ++counters_.loads_cancelled;
  } else {
    ++counters_.loads_failed;
    entry.retry_at = now() + backoff_after(entry.failures++);
    remember_error(entry, error);
  }
  const std::string_view cause = cancelled ? "cancelled" : "the load failed";
  const Error* const told = cancelled ? nullptr : &error;
  if (entry.weights != nullptr) {
    entry.reservation.shrink_to(entry.charge_as_parked());
    transition(entry, State::kParked, cause, told);
  } else {
    entry.reservation.release();
    transition(entry, cancelled ? State::kCold : State::kFailed, cause, told);
  }
  release_replaced(entry);
  if (!cancelled) fail_waiters(entry, error);
  if (entry.at_rest()) {
    tell(entry.on_left, {});
  } else if (entry.gone || !entry.on_left.empty()) {  // an unload that cancelled a resume
    entry.drain = std::make_unique<Drain>(
        Drain{.cause = DrainCause::kDecided, .to = Residency::kCold, .reason = "request"});
    begin_leaving(loading);
  }
}

/// hot -> draining, or straight to leaving for one that is parked.
void Manager::Impl::begin_drain(const EntryPtr& entry, Drain drain) {
  const std::string reason = drain.reason;
  if (entry->state() == State::kDraining && entry->drain) {  // what was decided before still holds
    const Drain& before = *entry->drain;
    if (before.to == Residency::kCold) drain.to = Residency::kCold;
    if (before.cause == DrainCause::kDecided) drain.cause = DrainCause::kDecided;
    if (before.deadline && !drain.deadline) drain.deadline = before.deadline;
  }
  if (drain.cause == DrainCause::kRoom && entry->revocation != nullptr)
    queue([room = std::exchange(entry->revocation->room, {})]() mutable { room.request_stop(); });
  entry->drain = std::make_unique<Drain>(std::move(drain));
  if (entry->state() == State::kHot) transition(*entry, State::kDraining, reason);
  if (entry->leases == 0 && !entry->leaving) begin_leaving(entry);
}

void Manager::Impl::call_off_drain(Entry& entry) {
  entry.drain.reset();
  transition(entry, State::kHot,
             entry.waiters.empty() ? "nobody waits for its room any more" : "wanted again");
  grant_waiters(entry);
  tell(entry.on_left, fail(ErrorCode::kConflict, "model '" + entry.ref.to_string() + "' is used again"));
}

void Manager::Impl::begin_leaving(const EntryPtr& entry) {
  const Drain drain = entry->drain ? *entry->drain : Drain{};
  const bool nothing_stays = drain.to == Residency::kCold || entry->weights == nullptr;
  const Residency to = nothing_stays ? Residency::kCold : Residency::kParked;
  entry->leaving = true;
  for (Leaver& leaver : entry->on_left) {
    leaver.report_at.reset();
    if (leaver.drained) queue(std::exchange(leaver.drained, nullptr));
  }
  if (!entry->lost_at) ++counters_.evictions[drain.reason];
  if (to == Residency::kCold) transition(*entry, State::kUnloading, drain.reason);
  run_on_executor([this, entry, to] {
    std::unique_ptr<engine::Engine> engine;
    bool broken = false;
    {
      const MutexLock lock(mutex_);
      engine = std::move(entry->engine);
      broken = entry->lost_at.has_value();  // perhaps since it began to leave
    }
    if (broken && engine != nullptr) {
      abandon_task(entry, std::move(engine));
    } else {
      leave_task(entry, to, std::move(engine));
    }
  });
}

void Manager::Impl::leave_task(const EntryPtr& entry, Residency to, std::unique_ptr<engine::Engine> engine) {
  engine.reset();  // may take 100 ms
  const MutexLock lock(mutex_);
  entry->uses_pages = false;
  to = drop_weights_unless_parked(*entry, to);
  mutex_.unlock();
  give_back_free_memory();  // else what the engine has freed stays in the heaps of a dozen threads
  mutex_.lock();
  give_pages_back(*entry);
  left(entry, drop_weights_unless_parked(*entry, to));
  task_ended();
}

/// Where one that leaves ends: an unload may have been asked for, or its engine have broken, while it parked.
Residency Manager::Impl::drop_weights_unless_parked(Entry& entry, Residency to) {
  if (to == Residency::kParked && entry.drain && entry.drain->to == Residency::kCold) to = Residency::kCold;
  if (to == Residency::kParked) return to;
  if (entry.state() == State::kDraining) transition(entry, State::kUnloading, entry.drain->reason);
  std::shared_ptr<engine::Weights> weights = std::move(entry.weights);
  mutex_.unlock();
  weights.reset();
  mutex_.lock();
  return to;
}

/// Of the weights that `entry` uses or used: when no engine uses them now and somebody holds them.
void Manager::Impl::give_pages_back(const Entry& entry) {
  if (!entry.inspection) return;
  const std::string key = entry.inspection->weights_key;
  std::shared_ptr<engine::Weights> holder;
  for (const EntryPtr& other : active_) {
    if (!other->inspection || other->inspection->weights_key != key) continue;
    if (other->uses_pages) return;
    if (other->weights != nullptr) holder = other->weights;
  }
  if (holder == nullptr || releasing_keys_.contains(key)) return;
  releasing_keys_.insert(key);  // nobody begins to load them meanwhile
  mutex_.unlock();
  holder->release_pages();
  holder.reset();
  mutex_.lock();
  releasing_keys_.erase(key);
  for (const EntryPtr& other : active_) {
    if (other->state() == State::kParked && other->inspection && other->inspection->weights_key == key)
      other->reservation.shrink_to(other->charge_as_parked());
  }
}

void Manager::Impl::left(const EntryPtr& entry, Residency to) {
  entry->leaving = false;
  const std::string reason = entry->drain ? entry->drain->reason : std::string();
  entry->drain.reset();
  if (to == Residency::kParked) {
    entry->reservation.shrink_to(entry->charge_as_parked());
    transition(*entry, State::kParked, reason);
  } else {
    entry->reservation.release();
    transition(*entry, State::kCold, reason);
  }
  tell(entry->on_left, {});
}

void Manager::Impl::revoke_leases(Entry& entry) {
  if (entry.revocation == nullptr) return;
  queue([revocation = entry.revocation] { revocation->stop.request_stop(); });
}

}  // namespace switchyard::models
