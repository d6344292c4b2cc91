#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/gate.h"
#include "base/mutex.h"
#include "base/strand.h"
#include "store/canary_store.h"
#include "telemetry/event_bus.h"
#include "traffic/canary.h"
#include "traffic/canary_figures.h"
#include "traffic/switcher.h"

namespace switchyard::traffic {

enum class CanaryState : std::uint8_t {
  kRunning,
  kPaused,      ///< keeps its share; nothing is decided
  kPromoted,    ///< the alias means the canary now
  kRolledBack,  ///< by itself: all of it is back with the stable version
  kAborted,     ///< by a call: the same
  kEnded,       ///< somebody moved the alias otherwise
};
[[nodiscard]] std::string_view to_string(CanaryState state) noexcept;

/// What was decided, when, by whom and why.
struct CanaryLine {
  std::chrono::system_clock::time_point at = {};
  std::string move;  ///< start, advance, promote, roll_back, pause, resume, abort, end
  std::string reason, who;
  double percent = 0;  ///< the canary's share from then on
};

/// One canary as it is now: the running one of an alias, or its last.
struct CanaryStatus {
  std::string alias;
  models::VersionRef stable, canary;
  CanaryPlan plan;
  CanaryState state = CanaryState::kRunning;
  std::size_t step = 0;
  double percent = 0;  ///< the canary's share of the requests
  std::string who;
  std::chrono::system_clock::time_point started = {}, ended = {};
  Duration in_step{0};                        ///< since its step began; of a running one
  ArmFigures canary_figures, stable_figures;  ///< of its step
  std::vector<CanaryLine> lines = {};         ///< newest first; of describe()
};

/// Gives a version a growing part of an alias's requests while it does no worse than the one before it, and
/// takes them back where it does. It moves the alias by the switcher's splits and switches. Each decision is
/// on disk, with the figures behind it. After a restart a canary goes on with its step, whose figures begin
/// anew. Any thread; nothing blocks but what says so.
class Canaries {
 public:
  struct Dependencies {
    Switcher& switcher;  ///< all of these must outlive it
    Executor& executor;
    telemetry::EventBus& events;
    store::StateDatabase& state;
    const Clock& clock = Clock::steady();
  };
  struct Request {
    std::string alias;
    std::string to;  ///< model@version, or whatever Switcher::resolve() takes
    CanaryPlan plan = {};
    std::optional<std::string> sticky_header = {};
    std::string who = "server";
    std::string why = {};
  };
  enum class Command : std::uint8_t {
    kPause,
    kResume,
    kPromote,  ///< at once, whatever the figures say
    kAbort,    ///< all back to the stable version
  };
  using Done = std::function<void(Result<CanaryStatus>)>;

  explicit Canaries(Dependencies dependencies);
  /// Waits for what it is doing.
  ~Canaries();
  Canaries(const Canaries&) = delete;
  Canaries& operator=(const Canaries&) = delete;

  /// `done` is called once, when the canary has its first share or was refused: kInvalidArgument (the plan,
  /// or the version that serves already), kNotFound, kConflict (one is running; the alias is split), or what
  /// the load of the version gave.
  void start(Request request, Done done);
  /// Errors by `done`: kNotFound (no alias, no canary), kConflict (it has ended, or is just being moved).
  void command(const std::string& alias, Command command, const std::string& who, Done done);
  /// One request of `alias` is over.
  void observe(const std::string& alias, const CanaryObservation& observation);
  /// Decides what is due. To be called about every second.
  void tick();

  [[nodiscard]] std::vector<CanaryStatus> list() const;
  /// With its decisions. Blocks for one query. Errors: kNotFound, or what the database says.
  [[nodiscard]] Result<CanaryStatus> describe(const std::string& alias) const;

 private:
  struct Canary {
    store::CanaryRow row;
    models::VersionRef stable, canary;
    CanaryPlan plan;
    CanaryState state = CanaryState::kRunning;
    TimePoint step_began;
    bool moving = false;  ///< a switch for it is in progress
    std::shared_ptr<CanaryFigures> figures;
  };

  // On the strand.
  void load();
  void start_now(Request request, Done done);
  void started(const Request& request, const models::VersionRef& stable, const models::VersionRef& canary,
               const SwitchReport& report, const Done& done);
  void command_now(const std::string& alias, Command command, const std::string& who, const Done& done);
  void look_at(const std::string& alias);
  void go_on(const std::string& alias, const std::string& reason, const std::string& who, const Done& done);
  void promote(const std::string& alias, const std::string& reason, const std::string& who, const Done& done);
  void give_back(const std::string& alias, CanaryState state, const std::string& reason,
                 const std::string& who, const Done& done);
  void move(const std::string& alias, SwitchRequest request, std::function<void(const SwitchReport&)> then);
  void follow_files(const std::string& alias);
  void note(const std::string& alias, std::string_view move, const std::string& reason,
            const std::string& who);
  Status keep(const std::string& alias, std::string_view move, const std::string& reason,
              const std::string& who, std::optional<CanaryState> state = {}) EXCLUDES(mutex_);
  void tell(const std::string& alias, std::string_view move, const std::string& reason,
            const std::string& who) EXCLUDES(mutex_);
  void end(Canary& canary, CanaryState state);
  [[nodiscard]] bool is_as_left(const std::string& alias) const EXCLUDES(mutex_);
  /// Ends the canary of an alias that somebody has moved; false where it is as it was left.
  bool end_if_moved(const std::string& alias) EXCLUDES(mutex_);

  [[nodiscard]] CanaryStatus status_now(const std::string& alias) const EXCLUDES(mutex_);
  [[nodiscard]] double percent_of(const Canary& canary) const;
  [[nodiscard]] CanaryStatus status_of(const Canary& canary) const;
  void on_event(const telemetry::Event& event);

  const Dependencies dependencies_;
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();  ///< for what the switcher tells
  mutable store::CanaryStore store_;
  mutable Mutex mutex_;
  /// By alias. Changed on the strand only, under the lock.
  std::map<std::string, Canary> canaries_ GUARDED_BY(mutex_);
  Strand strand_;
  telemetry::EventBus::Subscription subscription_;  // last: ends before what it uses
};

}  // namespace switchyard::traffic
