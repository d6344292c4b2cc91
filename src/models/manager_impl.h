#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "models/catalog.h"
#include "models/entry.h"
#include "models/manager.h"

namespace switchyard::models {

/// The manager's state and how it is carried forward. Every public call changes something under the
/// lock and then settles: asks the planner what follows, notes it down, and delivers what was queued
/// (tasks for the executor, events, callbacks) in order, without the lock.
///
/// Lock order: mutex_, then the ledger's. Nothing of anybody else is called under mutex_.
class Manager::Impl {
 public:
  Impl(Manager& self, Dependencies dependencies, Limits limits);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Status check(const std::vector<ModelDefinition>& models) EXCLUDES(mutex_);
  Status set_catalog(const std::vector<ModelDefinition>& models, Preload preload) EXCLUDES(mutex_);
  void set_limits(Limits limits) EXCLUDES(mutex_);
  Limits limits() const EXCLUDES(mutex_);
  Result<VersionRef> resolve(std::string_view name) const EXCLUDES(mutex_);
  std::vector<ModelStatus> list() const EXCLUDES(mutex_);
  Result<ModelStatus> describe(std::string_view model_id) const EXCLUDES(mutex_);
  std::optional<Standing> standing(const VersionRef& ref) const EXCLUDES(mutex_);
  std::vector<RunningEngine> running() const EXCLUDES(mutex_);
  std::optional<HealthSettings> health_settings(std::string_view model_id) const EXCLUDES(mutex_);
  bool can_answer() const EXCLUDES(mutex_);
  std::vector<Resident> residents() const EXCLUDES(mutex_);
  std::map<std::string, std::vector<std::string>> versions() const EXCLUDES(mutex_);
  Counters counters() const EXCLUDES(mutex_);
  ByteSize reserved(const std::string& device) const { return ledger_.reserved(device); }

  AcquireTicket acquire(const VersionRef& ref, const AcquireOptions& options,
                        std::function<void(Result<Lease>)> done) EXCLUDES(mutex_);
  void give_back(Entry& entry, Use use) EXCLUDES(mutex_);
  void forget(const std::shared_ptr<Waiter>& waiter) EXCLUDES(mutex_);

  Status load(const VersionRef& ref, Done done) EXCLUDES(mutex_);
  Status preload(const VersionRef& ref, Done done) EXCLUDES(mutex_);
  Status unload(const VersionRef& ref, Done done) EXCLUDES(mutex_);
  Status park(const VersionRef& ref, Done done) EXCLUDES(mutex_);
  Status resume(const VersionRef& ref, Done done) EXCLUDES(mutex_);
  Status leave(const VersionRef& ref, LeaveOptions options, Done done) EXCLUDES(mutex_);
  void stay(const VersionRef& ref) EXCLUDES(mutex_);
  std::shared_ptr<Entry> keep(const VersionRef& ref) EXCLUDES(mutex_);
  void let_go(const std::shared_ptr<Entry>& entry) EXCLUDES(mutex_);
  Status quarantine(const VersionRef& ref, const std::string& reason) EXCLUDES(mutex_);
  Status end_quarantine(const VersionRef& ref) EXCLUDES(mutex_);
  Status mark_broken(const VersionRef& ref, const Error& why, const engine::Engine* only) EXCLUDES(mutex_);
  void inspect(const VersionRef& ref, std::function<void(Result<engine::Inspection>)> done) EXCLUDES(mutex_);
  Result<Preview> preview(const VersionRef& ref, const PreviewOptions& options) const EXCLUDES(mutex_);
  Status pin(std::string_view model_id, bool pinned) EXCLUDES(mutex_);

  Shed shed(ByteSize bytes) EXCLUDES(mutex_);
  void pulse(std::function<void()> done) EXCLUDES(mutex_);

  void tick() EXCLUDES(mutex_);
  void begin_shutdown() EXCLUDES(mutex_);
  void drain_all(Duration bound) EXCLUDES(mutex_);

 private:
  using EntryPtr = std::shared_ptr<Entry>;
  using Task = std::move_only_function<void()>;
  struct Model {
    std::shared_ptr<const ModelDefinition> definition;
    std::vector<EntryPtr> entries;  // as definition->versions
    bool pinned = false;
  };

  TimePoint now() const { return dependencies_.clock.now(); }
  EntryPtr find(const VersionRef& ref) const REQUIRES(mutex_);
  const Model* model_called(std::string_view name) const REQUIRES(mutex_);
  Result<EntryPtr> find_or_fail(const VersionRef& ref) const REQUIRES(mutex_);
  void touch(const EntryPtr& entry) REQUIRES(mutex_);
  Budgets budgets() const REQUIRES(mutex_);
  void keep(Entry& entry, engine::Inspection inspection) REQUIRES(mutex_);
  engine::InspectOptions inspect_options() const REQUIRES(mutex_);

  Status begin_to_want(const VersionRef& ref, Waiter::Kind kind, Done done) EXCLUDES(mutex_);

  // manager_settle.cpp: deciding, and delivering what was decided.
  void settle() REQUIRES(mutex_);
  void decide() REQUIRES(mutex_);
  void deliver() REQUIRES(mutex_);
  void expire() REQUIRES(mutex_);
  void drop_inactive() REQUIRES(mutex_);
  Snapshot snapshot(std::vector<EntryPtr>& order) const REQUIRES(mutex_);
  Candidate candidate(const Entry& entry) const REQUIRES(mutex_);
  void apply(const Action& action, const std::vector<EntryPtr>& order) REQUIRES(mutex_);
  void note_wake(TimePoint when) REQUIRES(mutex_);
  void inspect_in_background() REQUIRES(mutex_);
  void prefetch_next() REQUIRES(mutex_);
  void cancel_load(Entry& entry) REQUIRES(mutex_);
  void queue(Task task) REQUIRES(mutex_) { outbox_.push_back(std::move(task)); }
  void run_on_executor(std::function<void()> work) REQUIRES(mutex_);
  void task_ended() REQUIRES(mutex_);
  void answer_pulses() REQUIRES(mutex_);
  void timer_loop() EXCLUDES(mutex_);

  // manager_waiters.cpp
  std::shared_ptr<Waiter> add_waiter(const EntryPtr& entry, Waiter::Kind kind) REQUIRES(mutex_);
  Lease make_lease(Entry& entry, Use use = Use::kUser) REQUIRES(mutex_);
  void grant_waiters(Entry& entry) REQUIRES(mutex_);
  void fail_waiters(Entry& entry, const Error& error) REQUIRES(mutex_);
  void answer_error(const std::shared_ptr<Waiter>& waiter, const Error& error) REQUIRES(mutex_);
  void tell(std::vector<Leaver>& leavers, const Status& status) REQUIRES(mutex_);
  void report_drains(Entry& entry, TimePoint time) REQUIRES(mutex_);

  // manager_residency.cpp: carrying out.
  void transition(Entry& entry, State to, std::string_view cause, const Error* error = nullptr)
      REQUIRES(mutex_);
  void tell_state(const Entry& entry, State from, std::string_view cause, const Error* error)
      REQUIRES(mutex_);
  void begin_inspection(const EntryPtr& entry) REQUIRES(mutex_);
  void inspected(Entry& entry, Result<engine::Inspection> result) REQUIRES(mutex_);
  void refuse(Entry& entry, const Error& error) REQUIRES(mutex_);
  bool refuse_too_early(Entry& entry) REQUIRES(mutex_);
  void begin_load(const EntryPtr& entry) REQUIRES(mutex_);
  void load_task(const EntryPtr& entry, const engine::ModelSpec& spec, const engine::Inspection& inspection,
                 const std::stop_token& stop) EXCLUDES(mutex_);
  void on_progress(Entry& entry, const engine::LoadProgress& progress) EXCLUDES(mutex_);
  void load_succeeded(const EntryPtr& entry) REQUIRES(mutex_);
  void load_ended_badly(const EntryPtr& loading, const Error& error, bool cancelled) REQUIRES(mutex_);
  void remember_error(Entry& entry, const Error& error) REQUIRES(mutex_);
  void begin_drain(const EntryPtr& entry, Drain drain) REQUIRES(mutex_);
  void begin_leaving(const EntryPtr& entry) REQUIRES(mutex_);
  void leave_task(const EntryPtr& entry, Residency to, std::unique_ptr<engine::Engine> engine)
      EXCLUDES(mutex_);
  Residency drop_weights_unless_parked(Entry& entry, Residency to) REQUIRES(mutex_);
  void give_pages_back(const Entry& entry) REQUIRES(mutex_);
  void left(const EntryPtr& entry, Residency to) REQUIRES(mutex_);
  void revoke_leases(Entry& entry) REQUIRES(mutex_);
  void call_off_drain(Entry& entry) REQUIRES(mutex_);

  // manager_broken.cpp
  void break_entry(const EntryPtr& entry, const Error& why) REQUIRES(mutex_);
  std::shared_ptr<engine::Weights> watch(const EntryPtr& entry, std::shared_ptr<engine::Weights> weights);
  void weights_lost(const std::weak_ptr<Entry>& entry) EXCLUDES(mutex_);
  EntryPtr find_broken(const VersionRef& ref, const engine::Engine* only) const REQUIRES(mutex_);
  void succeed(const EntryPtr& broken, const Error& error) REQUIRES(mutex_);
  Duration backoff_after(std::uint32_t failures) const REQUIRES(mutex_);
  void abandon_task(const EntryPtr& entry, std::unique_ptr<engine::Engine> engine) EXCLUDES(mutex_);
  void note_lost(TimePoint time) REQUIRES(mutex_);
  void give_up(Entry& entry) REQUIRES(mutex_);
  static std::unexpected<Error> fail_quarantined(const Entry& entry);
  ByteSize lost_bytes(const VersionRef& ref) const REQUIRES(mutex_);

  // manager_catalog.cpp
  void merge_model(std::shared_ptr<const ModelDefinition> definition, Model* old,
                   std::vector<std::weak_ptr<Entry>>& added) REQUIRES(mutex_);
  static EntryPtr take_entry(Model& old, const std::string& version);
  void retire(const EntryPtr& entry, const EntryPtr& successor) REQUIRES(mutex_);
  void release_replaced(Entry& entry) REQUIRES(mutex_);
  void begin_preload(const EntryPtr& entry) REQUIRES(mutex_);
  std::unexpected<Error> unknown_model(std::string_view name) const REQUIRES(mutex_);
  ModelStatus status_of(const Model& model) const REQUIRES(mutex_);

  // Constant after construction, or synchronising themselves.
  Manager& self_;
  const Dependencies dependencies_;
  Ledger ledger_;
  std::stop_source stop_inspections_;

  mutable Mutex mutex_;
  CondVar idle_;   // leases, tasks or the outbox ran out
  CondVar timer_;  // wake_at_ came closer, or the end
  Limits limits_ GUARDED_BY(mutex_);
  std::map<std::string, ByteSize> device_memory_ GUARDED_BY(mutex_);  // as inspections have found it
  std::map<std::string, Model, std::less<>> models_ GUARDED_BY(mutex_);
  std::vector<std::string> model_order_ GUARDED_BY(mutex_);
  FurtherNames names_ GUARDED_BY(mutex_);
  std::vector<EntryPtr> active_ GUARDED_BY(mutex_);  // neither at rest in cold or failed, or waited for
  std::vector<std::weak_ptr<Entry>> to_inspect_ GUARDED_BY(mutex_);  // last first
  std::set<std::string> releasing_keys_ GUARDED_BY(mutex_);  // weights whose pages are being given back
  std::vector<Task> pulses_ GUARDED_BY(mutex_);              // for the timer to answer
  std::vector<Task> outbox_ GUARDED_BY(mutex_);
  bool delivering_ GUARDED_BY(mutex_) = false;
  std::size_t tasks_ GUARDED_BY(mutex_) = 0;
  std::size_t leases_ GUARDED_BY(mutex_) = 0;
  std::uint64_t next_order_ GUARDED_BY(mutex_) = 1;
  std::optional<TimePoint> wake_at_ GUARDED_BY(mutex_);
  std::optional<TimePoint> timer_sleeps_until_ GUARDED_BY(mutex_);
  Counters counters_ GUARDED_BY(mutex_);
  bool catalogued_ GUARDED_BY(mutex_) = false;
  bool shutting_down_ GUARDED_BY(mutex_) = false;
  bool ending_ GUARDED_BY(mutex_) = false;
  std::thread timer_thread_;
};

}  // namespace switchyard::models
