#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "models/manager.h"
#include "telemetry/event_bus.h"
#include "traffic/alias_table.h"

namespace switchyard::traffic {

/// What becomes of the version that an alias pointed at before. Its running requests end whole
/// in either case.
enum class OldVersion : std::uint8_t {
  kPark,  ///< drained, then parked: a switch back takes milliseconds
  kKeep,  ///< stays hot as long as the room allows
};

struct SwitchOptions {
  OldVersion old = OldVersion::kPark;
  std::string cause = "request";  ///< shown in the event
};

struct SwitchCounters {
  std::uint64_t ok = 0;
  std::uint64_t failed = 0;
};

/// Routes names and moves aliases without a gap: loads the new version, flips when it is hot, then
/// parks the old one unless another alias points at it. What fails before the flip leaves the old
/// version serving. Any thread; no method blocks but the destructor.
class Switcher {
 public:
  struct Dependencies {
    models::Manager& manager;  ///< must outlive the switcher
    telemetry::EventBus& events;
    const Clock& clock = Clock::steady();
  };
  using Done = std::function<void(Status)>;

  explicit Switcher(Dependencies dependencies);
  /// Waits for the switches in progress to end.
  ~Switcher();
  Switcher(const Switcher&) = delete;
  Switcher& operator=(const Switcher&) = delete;

  /// Replaces all aliases, as configured. Errors: kInvalidArgument for a doubled name or a name that
  /// a model has, kNotFound for a target that is not catalogued; nothing has changed then.
  Status set_aliases(const std::vector<Alias>& aliases);
  /// Adds one; the others are not touched. Errors: as of set_aliases().
  Status add_alias(const Alias& alias);
  [[nodiscard]] std::vector<Alias> aliases() const { return table_.list(); }

  /// An alias, else what the manager takes the name for. Quick, never waits for a switch.
  [[nodiscard]] Result<models::VersionRef> resolve(std::string_view name) const;

  /// Begins to move `alias` to `to`; switches of one alias follow each other in order. `done` is
  /// called once, when the alias has flipped or will not, on a thread of the manager: it must not
  /// block. Errors by `done`: kNotFound, or what the load of `to` gave, saying who serves.
  void switch_alias(const std::string& alias, const models::VersionRef& to, SwitchOptions options, Done done);

  [[nodiscard]] SwitchCounters counters() const;

 private:
  struct Switch {
    std::string alias;
    models::VersionRef to;
    SwitchOptions options;
    Done done;
    TimePoint began;
  };

  [[nodiscard]] Status check(const Alias& alias) const;
  void begin(const std::shared_ptr<Switch>& one);
  void loaded(const std::shared_ptr<Switch>& one, Result<models::Lease> lease);
  void ended(const std::shared_ptr<Switch>& one, const models::VersionRef& from, const Status& status);

  const Dependencies dependencies_;
  AliasTable table_;
  mutable Mutex mutex_;
  CondVar idle_;
  std::map<std::string, std::vector<std::shared_ptr<Switch>>> queues_ GUARDED_BY(mutex_);  // front runs
  std::map<const Switch*, models::AcquireTicket> tickets_ GUARDED_BY(mutex_);
  SwitchCounters counters_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::traffic
