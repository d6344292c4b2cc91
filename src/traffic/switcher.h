#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "models/manager.h"
#include "store/state_database.h"
#include "telemetry/event_bus.h"
#include "traffic/types.h"

namespace switchyard::traffic {

/// When a model's bare name follows a newer version of it.
enum class Upgrades : std::uint8_t {
  kInBackground,  ///< as soon as there is one, if the version before is in memory; else with its next use
  kOnUse,         ///< with its next use
};

/// What public names mean, and moving them without a gap. A name moves only to a version that is hot
/// and has answered; what fails before the flip leaves the old version serving. Names are aliases, made
/// by the config file or by calls, and the models' own ids. Every move is on disk before its caller is
/// told. Any thread; no method blocks but those that say so.
class Switcher {
 public:
  struct Dependencies {
    models::Manager& manager;  ///< all of these must outlive the switcher
    Executor& executor;
    telemetry::EventBus& events;
    store::StateDatabase& state;
    const Clock& clock = Clock::steady();
    Upgrades upgrades = Upgrades::kInBackground;
  };

  explicit Switcher(Dependencies dependencies);
  /// Ends the switches in progress; blocks until their callers have been told.
  ~Switcher();
  Switcher(const Switcher&) = delete;
  Switcher& operator=(const Switcher&) = delete;

  /// Tells it the aliases that the config file has, after every change of the manager's catalog. Those
  /// made by calls stay. A name that means one of `successors` (a version whose file was replaced) moves
  /// on to what came in its place, by a switch. Blocks. Errors: kInvalidArgument for a doubled name or a name
  /// that a model has, kNotFound for a target that is not catalogued; nothing has changed then.
  Status define(const std::vector<Alias>& aliases,
                const std::map<models::VersionRef, models::VersionRef>& successors = {});

  /// What a name means now: an alias, a model, model@version, or NAME@latest (the newest version of
  /// NAME's model), NAME@stable (what NAME means) or NAME@previous (where a rollback of NAME goes). Quick,
  /// never waits for a switch. Errors: kNotFound with the nearest names.
  [[nodiscard]] Result<models::VersionRef> resolve(std::string_view name) const;
  /// What `subject` gets by it: of an alias that is split always the same arm while its weights stay.
  [[nodiscard]] Result<models::VersionRef> resolve(std::string_view name, std::string_view subject) const;
  /// The same for a request that can wait: `done` is called once, at once unless a switch holds the
  /// name's requests, then when it has ended.
  void route(const std::string& name, const std::string& subject,
             std::function<void(Result<models::VersionRef>)> done);
  /// How `name` is split; null: it is not. Quick.
  [[nodiscard]] std::shared_ptr<const Split> split_of(std::string_view name) const;
  /// Whether there is an alias of that name, which is not a model's own.
  [[nodiscard]] bool is_alias(std::string_view name) const;

  /// Who stands in while `name` cannot answer, in this order: of a split its arms, the first one first, then
  /// those of its fallbacks that are catalogued.
  [[nodiscard]] std::vector<models::VersionRef> fallbacks(std::string_view name) const;

  /// Begins to move a name, ending a switch of it that has not flipped yet. Errors by `done`: kNotFound,
  /// kInvalidArgument (also weights that do not add up), kConflict (superseded; nowhere to roll back to),
  /// kCancelled, kUnavailable (cannot be recorded), or what the load of the new version gave, saying who
  /// serves.
  void move(SwitchRequest request);
  /// Ends a switch of `alias` that has not flipped; with `id` only that one. Errors by `done`: kNotFound,
  /// kConflict (there is none).
  void cancel(const std::string& alias, std::function<void(Status)> done,
              std::optional<std::int64_t> id = {});
  /// Removes an alias; what it meant stays as it is. Errors by `done`: kNotFound, kConflict (a model).
  void remove(const std::string& alias, const SwitchOptions& options, std::function<void(Status)> done);
  /// What move() would do. Reads the new version's file if need be. Errors by `done`: as of move().
  void preview(SwitchRequest request, std::function<void(Result<SwitchPreview>)> done);

  /// In the order of their names, models' own names left out.
  [[nodiscard]] std::vector<AliasStatus> aliases() const;
  /// Every name that means a version: aliases, and models that have answered.
  [[nodiscard]] std::vector<Alias> names() const;
  /// An alias or a model's name. Errors: kNotFound.
  [[nodiscard]] Result<AliasStatus> describe(std::string_view name) const;
  /// Newest first. Blocks for one query. Errors: what the database says.
  [[nodiscard]] Result<std::vector<SwitchReport>> history(std::string_view name, std::size_t limit) const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace switchyard::traffic
