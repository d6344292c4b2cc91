#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "health/recovery.h"
#include "health/types.h"
#include "health/verdict.h"
#include "models/manager.h"
#include "telemetry/event_bus.h"

namespace switchyard::health {

/// Watches what is hot and brings back what broke: probes engines that nobody uses, gives up those that
/// are stuck, loads them again, and quarantines what fails too often. Decides by verdict.h and recovery.h.
/// Any thread; nothing blocks but the destructor.
class Monitor {
 public:
  struct Dependencies {
    models::Manager& manager;  ///< all of these must outlive the monitor
    Executor& executor;        ///< runs the probes
    telemetry::EventBus& events;
    std::function<double()> random;  ///< in 0..1
    const Clock& clock = Clock::steady();
  };
  /// Called on a worker with each probe that was answered; must not block.
  using ProbeObserver = std::function<void(const models::VersionRef&, Duration)>;

  explicit Monitor(Dependencies dependencies);
  /// Waits for its probes.
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  /// Does what is due. To be called about every second; what broke is seen to without it.
  void tick();
  /// An engine has answered a user, with its first byte after `latency`.
  void note_reply(const models::VersionRef& ref, Duration latency);
  /// As of Manager::quarantine(); one that is in memory is left alone.
  void quarantine(const models::VersionRef& ref, const std::string& reason) EXCLUDES(mutex_);
  /// Ends a quarantine. Errors: kNotFound; kConflict where there is none.
  Status release(const models::VersionRef& ref);
  void observe_probes(ProbeObserver observer);

  /// Every version that has been hot or has failed, by name.
  [[nodiscard]] std::map<models::VersionRef, VersionHealth> list() const;
  /// The same, without what led to it.
  [[nodiscard]] std::map<models::VersionRef, Health> verdicts() const;

 private:
  struct Record {
    VersionHealth shown;        ///< but for what is counted when it is shown
    std::deque<Check> history;  // newest first
    // Of the engine that is in memory.
    Watch watch;
    std::optional<TimePoint> proven_at;
    bool probing = false;
    // Of its failures.
    std::vector<TimePoint> failures;
    bool was_answering = false;  ///< when it failed: to be loaded again
    bool failed = false;         ///< its state
    bool loading = false;        ///< or about to be
    double jitter = 0;
    std::optional<TimePoint> next_try;
  };
  using Tasks = std::vector<std::function<void()>>;

  void look_at(const models::RunningEngine& engine, TimePoint time, Tasks& todo) REQUIRES(mutex_);
  void recover(const models::VersionRef& ref, Record& record, TimePoint time, Tasks& todo) REQUIRES(mutex_);
  void probe(const models::VersionRef& ref, const models::HealthSettings& settings);
  void note_probe(const models::VersionRef& ref, const engine::Engine* engine, const Finding& finding,
                  const std::string& error, const models::HealthSettings& settings);
  void set_health(Record& record, const Check& check) REQUIRES(mutex_);
  void note_state(const telemetry::Event& event) REQUIRES(mutex_);
  void note_failure(Record& record) REQUIRES(mutex_);
  void forget_what_left() REQUIRES(mutex_);
  void on_event(const telemetry::Event& event);
  void publish_news();
  /// On the executor; the destructor waits for it.
  void run(std::function<void()> work);

  const Dependencies dependencies_;
  mutable Mutex mutex_;
  CondVar idle_;
  std::map<models::VersionRef, Record> records_ GUARDED_BY(mutex_);
  std::vector<telemetry::Event> news_ GUARDED_BY(mutex_);  // to be published, in order
  ProbeObserver observer_ GUARDED_BY(mutex_);
  std::size_t tasks_ GUARDED_BY(mutex_) = 0;
  bool closing_ GUARDED_BY(mutex_) = false;
  Mutex publishing_;                                // before mutex_: keeps news in order
  telemetry::EventBus::Subscription subscription_;  // ends before what it uses
};

}  // namespace switchyard::health
