#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "engine/api/engine.h"
#include "models/preview.h"
#include "models/types.h"
#include "telemetry/event_bus.h"

namespace switchyard::models {

class Manager;
struct Entry;
struct Waiter;

/// Asks the holders of an engine's leases to end soon with an error. Any thread.
struct Revocation {
  std::stop_source stop;
  Error why = {};                    ///< it is broken; set before that
  std::atomic<bool> broken = false;  ///< set before the stop: the engine is no use any more
  std::stop_source room = {};        ///< of the leases given since the last drain for room; the manager's
};

/// What a lease is for.
enum class Use : std::uint8_t {
  kUser,
  kProbe,       ///< is no use: the version's idle time goes on
  kBackground,  ///< the same: a copy of a request, for example
};

/// A hold on a hot engine: while it lives the engine is neither parked nor unloaded. Move-only; any
/// thread. `revoked()` asks its holder to end soon with an error (a drain's bound has passed, forced
/// unload, shutdown, a broken engine); the engine still waits for the lease to be destroyed.
class Lease {
 public:
  Lease() = default;
  ~Lease() { release(); }
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  explicit operator bool() const { return engine_ != nullptr; }

  [[nodiscard]] engine::Engine& engine() const { return *engine_; }
  [[nodiscard]] const VersionRef& version() const { return ref_; }
  [[nodiscard]] std::stop_token revoked() const {
    return revocation_ == nullptr ? std::stop_token() : revocation_->stop.get_token();
  }
  /// Whether its engine has been given up, which is known as soon as Manager::mark_broken() has returned.
  [[nodiscard]] bool broken() const { return revocation_ != nullptr && revocation_->broken; }
  /// What was said of it then.
  [[nodiscard]] std::optional<Error> why_broken() const {
    return broken() ? std::optional(revocation_->why) : std::nullopt;
  }
  /// Others wait for the room of its engine: whoever has not begun to use it is to give it back, and may ask
  /// again, which waits until they have had their turn. Who has begun goes on.
  [[nodiscard]] std::stop_token room_wanted() const { return room_wanted_; }
  /// Requests that its engine works for at once.
  [[nodiscard]] std::uint32_t slots() const { return slots_; }
  /// Gives it back early. The destructor does the same.
  void release();

 private:
  friend class Manager;
  Manager* manager_ = nullptr;
  Entry* entry_ = nullptr;
  engine::Engine* engine_ = nullptr;
  VersionRef ref_;
  Use use_ = Use::kUser;
  std::uint32_t slots_ = 0;
  std::shared_ptr<const Revocation> revocation_;
  std::stop_token room_wanted_;
};

/// Forgets a waiting acquire when destroyed or cancelled: its callback is then not called any more
/// (or has been, or is just running on another thread: cancel() does not wait for it). The load it
/// asked for goes on for others.
class AcquireTicket {
 public:
  AcquireTicket();
  ~AcquireTicket() { (void)cancel(); }
  AcquireTicket(AcquireTicket&& other) noexcept;
  AcquireTicket& operator=(AcquireTicket&& other) noexcept;
  /// True when this is what kept the callback from being called.
  bool cancel();

 private:
  friend class Manager;
  Manager* manager_ = nullptr;
  std::shared_ptr<Waiter> waiter_;
};

/// While it lives the version is not parked or unloaded to make room for others, nor for being idle.
/// Move-only; any thread; must go before its manager.
class Keep {
 public:
  Keep() = default;
  ~Keep() { release(); }
  Keep(Keep&& other) noexcept;
  Keep& operator=(Keep&& other) noexcept;
  void release();

 private:
  friend class Manager;
  Manager* manager_ = nullptr;
  std::shared_ptr<Entry> entry_;
};

/// What may be made hot for a lease. Without one: kInvalidArgument "model is not loaded".
enum class MakeHot : std::uint8_t {
  kNothing,   ///< only what is hot is leased
  kInMemory,  ///< what is parked, draining to parked or waited for by others; nothing is loaded from cold
  kAnything,
};

struct AcquireOptions {
  MakeHot make_hot = MakeHot::kAnything;
  Use use = Use::kUser;
  std::optional<Duration> timeout = {};  ///< gives kTimeout to the waiter; none = waits for the load
  bool ends_unwanted_load = false;       ///< cancelled as the last who waits, its load is cancelled too
};

enum class AtBound : std::uint8_t {
  kReport,  ///< `done` is told kTimeout; the version goes on draining
  kRevoke,  ///< the leases are revoked
};
enum class WhenWanted : std::uint8_t {
  kGoesOn,   ///< drains, leaves, and only then comes back
  kCallOff,  ///< stays hot; `done` is told kConflict
};

/// How a version is sent away, and how whoever sends it is told.
struct LeaveOptions {
  Residency to = Residency::kParked;  ///< kParked or kCold
  std::optional<Duration> bound = {};
  AtBound at_bound = AtBound::kReport;
  WhenWanted when_wanted = WhenWanted::kGoesOn;
  std::function<void()> drained = {};  ///< the last lease is back; freeing memory begins
};

struct Counters {
  std::uint64_t loads_ok = 0, loads_cancelled = 0;
  std::uint64_t loads_failed = 0;                  ///< those of bad files and of what can never fit, too
  std::map<std::string, std::uint64_t> evictions;  ///< by reason: "models_max", "memory", "idle", "request",
                                                   ///< "switch", "pressure"
};

/// Decides which versions are in memory and moves them there and away. All methods: any thread.
/// None but those that say so block longer than a mutex. Callbacks run one after another on the
/// manager's executor, its timer or a caller's thread, never under a lock; they must not block and
/// may call back into the manager.
///
/// Invariants (manager_test.cpp holds them against random histories):
///  - an engine with a lease is never parked, unloaded or destroyed;
///  - reserved bytes never pass the budget, hot + loading + warming + draining never pass models_max;
///  - at most one load per version at a time; every waiter gets exactly one answer;
///  - nothing is evicted for a version whose file has not been inspected or cannot fit.
class Manager {
 public:
  struct Dependencies {
    engine::EngineLoader& loader;
    Executor& executor;  ///< runs inspections, loads, parks, unloads, callbacks; must outlive the manager
    telemetry::EventBus& events;
    const Clock& clock = Clock::steady();
    bool own_timer = true;  ///< false: tests advance a fake clock and call tick()
  };

  Manager(Dependencies dependencies, Limits limits);
  /// Revokes leases, waits for them, frees everything. Blocks.
  ~Manager();
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  // ---- catalog -----------------------------------------------------------------------------
  /// Whether versions that are in memory could be loaded with the settings that `models` has for them.
  /// Blocks for inspections. Errors: those of the first that could not.
  [[nodiscard]] Status check(const std::vector<ModelDefinition>& models);
  /// Replaces the whole catalog. What did not change is not touched; a version that is gone or
  /// changed drains and is freed. `preload` says which models with that setting are made hot now.
  /// Errors: kInvalidArgument for duplicate names; then nothing has changed.
  ///
  /// Other settings of the same file take the place of a hot version without reading it again: the engine
  /// ends once its replies have, its weights stay until the next one has them, and that is made hot.
  enum class Preload : std::uint8_t { kNone, kAdded, kAll };
  Status set_catalog(const std::vector<ModelDefinition>& models, Preload preload);
  void set_limits(Limits limits);
  [[nodiscard]] Limits limits() const;

  /// What a name in a request means: an id, one of a model's extra names, or `model@version`.
  /// Errors: kNotFound with the nearest names.
  [[nodiscard]] Result<VersionRef> resolve(std::string_view name) const;

  [[nodiscard]] std::vector<ModelStatus> list() const;
  [[nodiscard]] Result<ModelStatus> describe(std::string_view model_id) const;
  /// Of one version, without the rest; nothing when it is not catalogued.
  [[nodiscard]] std::optional<Standing> standing(const VersionRef& ref) const;
  /// Hot and draining ones, but for those that are broken.
  [[nodiscard]] std::vector<RunningEngine> running() const;
  /// Of a model; nothing when it is not catalogued.
  [[nodiscard]] std::optional<HealthSettings> health_settings(std::string_view model_id) const;
  /// Whether there is a version that a request may have: one that is neither failed nor quarantined. True of
  /// an empty catalog.
  [[nodiscard]] bool can_answer() const;
  /// What is hot or parked, the most recently used first; what is on its way there or from there counts
  /// as where it was.
  [[nodiscard]] std::vector<Resident> residents() const;
  /// The names of each model's versions, oldest first.
  [[nodiscard]] std::map<std::string, std::vector<std::string>> versions() const;
  [[nodiscard]] Counters counters() const;
  /// Bytes reserved now on `device`.
  [[nodiscard]] ByteSize reserved(const std::string& device = "host") const;

  // ---- use ---------------------------------------------------------------------------------
  /// Asks for a lease and calls `done` exactly once (unless the ticket is destroyed before): at once
  /// on this thread when the version is hot, else when it has been made so or cannot be.
  /// `done` must not block.
  [[nodiscard]] AcquireTicket acquire(const VersionRef& ref, AcquireOptions options,
                                      std::function<void(Result<Lease>)> done);
  /// The same, blocking until there is an answer or `stop` is requested (kCancelled).
  [[nodiscard]] Result<Lease> acquire_blocking(const VersionRef& ref, AcquireOptions options = {},
                                               std::stop_token stop = {});

  /// Reads the file (in a child process, or from the cache) as before every load and calls `done` once.
  void inspect(const VersionRef& ref, std::function<void(Result<engine::Inspection>)> done);
  /// What loading `ref` would do now. `stays` is treated as kept, `goes` as parked already. Errors:
  /// kNotFound; kUnavailable before the file has been inspected.
  struct PreviewOptions {
    std::optional<VersionRef> stays = {};
    std::optional<VersionRef> goes = {};
  };
  [[nodiscard]] Result<Preview> preview(const VersionRef& ref, const PreviewOptions& options) const;

  // ---- residency by hand ---------------------------------------------------------------------
  // Each begins its work and returns; `done`, where given, is called once with how it ended. A
  // version already there is success.
  using Done = std::function<void(Status)>;
  /// Makes it hot. Errors: kNotFound at once; by `done`: the load's error, kDoesNotFit, kCancelled.
  Status load(const VersionRef& ref, Done done = {});
  /// The same, but into free room only: nothing is evicted for it. Errors: also kUnavailable (no room).
  Status preload(const VersionRef& ref, Done done = {});
  /// Drains for at most the model's drain_timeout, then revokes the leases; frees everything. A load
  /// in progress is cancelled. Waiters of this version get kCancelled.
  Status unload(const VersionRef& ref, Done done = {});
  /// As unload() and park(), but those who wait for it go on waiting, and nothing in memory is success.
  /// Errors: kNotFound, kConflict while it is loading; by `done`: see LeaveOptions.
  Status leave(const VersionRef& ref, LeaveOptions options, Done done = {});
  /// Calls off the drain of a version that has not left yet: it is hot again. Else nothing happens.
  void stay(const VersionRef& ref);
  /// A hold that is no use: see Keep. Empty where there is no such version.
  [[nodiscard]] Keep keep(const VersionRef& ref);
  /// Drains without bound, then keeps the weights only. Errors: kConflict when nothing is loaded.
  Status park(const VersionRef& ref, Done done = {});
  /// parked -> hot; kConflict from any other state but hot.
  Status resume(const VersionRef& ref, Done done = {});
  /// What is in memory of this version is broken (a dead worker, a stuck decode): its leases are revoked as
  /// broken, its state is failed with `why`, and what waited for it goes on waiting. It is destroyed once its
  /// leases are back; an engine that does not end within Limits::lost_after keeps its bytes of the budget.
  /// Loads again on demand, beside what is left of it where there is room: the first time at once, again
  /// and again with the backoff of failed loads, until it has stayed hot for retry_backoff_most.
  /// `only`, where given, is the engine that broke: another one that has taken its place is left alone.
  /// Errors: kNotFound; kConflict where there is no such thing in memory.
  Status mark_broken(const VersionRef& ref, const Error& why, const engine::Engine* only = nullptr);
  /// It is not loaded any more, by nobody: who waits and who asks gets kUnavailable with `reason`. A load in
  /// progress is cancelled. Ends by end_quarantine(), or with a change of its file or settings. Errors:
  /// kNotFound; kConflict where it is in memory.
  Status quarantine(const VersionRef& ref, const std::string& reason);
  /// Errors: kNotFound; kConflict where it is not quarantined.
  Status end_quarantine(const VersionRef& ref);
  /// Never evicted, parked or unloaded by the manager itself while pinned.
  Status pin(std::string_view model_id, bool pinned);

  /// Unloads parked versions, then idle hot ones, until `bytes` of the host's memory are on their way to be
  /// freed; one at least where there is one. None that is leased, pinned, kept or waited for. For when the
  /// machine runs out of memory, whatever the budget says.
  struct Shed {
    std::vector<VersionRef> versions;  ///< that leave, in the order in which they were chosen
    ByteSize bytes;
  };
  Shed shed(ByteSize bytes);

  // ---- time --------------------------------------------------------------------------------
  /// Does what is due now (idle parks, waits that ran out, retries). Called by an own thread unless
  /// Dependencies::own_timer is false.
  void tick();
  /// Calls `done` soon, on whatever thread delivers for the manager, once its timer has come round: proof
  /// that neither hangs. From tick() where there is no own timer.
  void pulse(std::function<void()> done);
  /// Refuses new acquires with kUnavailable from now on; what is held goes on, down to the inspection and
  /// the load that it waits for. Inspections that nobody waits for are stopped, preloads given up.
  void begin_shutdown();
  /// Refuses what still waits. Then blocks until no lease is held, at most `bound`, revokes and waits for
  /// the rest.
  void drain_all(Duration bound);

 private:
  friend class Lease;
  friend class AcquireTicket;
  friend class Keep;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace switchyard::models
