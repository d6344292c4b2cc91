#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "store/shadow_store.h"
#include "telemetry/event_bus.h"
#include "traffic/shadow.h"
#include "traffic/shadow_figures.h"
#include "traffic/switcher.h"

namespace switchyard::traffic {

/// What whoever copies requests needs of a running shadow. Immutable.
struct Shadow {
  std::string alias;
  models::VersionRef to;
  ShadowPlan plan;
  std::uint64_t serial = 0;  ///< another one for each time that a shadow begins
};
using ShadowPtr = std::shared_ptr<const Shadow>;

/// The shadow of an alias as it is now, or as it was when it was stopped.
struct ShadowStatus {
  std::string alias;
  models::VersionRef to;
  ShadowPlan plan;
  bool running = false;
  std::string who;
  std::chrono::system_clock::time_point started = {}, ended = {};
  ShadowFigures figures;
};

/// A request with both replies.
struct ShadowPair {
  std::chrono::system_clock::time_point at = {};
  std::string request_id;
  models::VersionRef version;  ///< which answered the user
  std::string prompt, reply, copy;
  std::optional<double> similarity = {};
};

/// An alias's shadow as the config file has it.
struct ShadowDefinition {
  std::string alias;
  models::VersionRef to;
  ShadowPlan plan = {};
};

/// Which aliases are shadowed by what, and what that has shown. It copies no request itself
/// (shadowing/copies.h does). Shadows and their figures are kept over a restart; a kill loses the last second
/// of figures. Any thread; nothing blocks but what says so.
class Shadows {
 public:
  struct Dependencies {
    Switcher& switcher;  ///< all of these must outlive it
    telemetry::EventBus& events;
    store::StateDatabase& state;
  };
  struct Request {
    std::string alias;
    std::string to;  ///< model@version, or whatever Switcher::resolve() takes
    ShadowPlan plan = {};
    std::string who = "server";
  };

  explicit Shadows(Dependencies dependencies);
  /// Writes what is left of the figures. Blocks for a transaction.
  ~Shadows();
  Shadows(const Shadows&) = delete;
  Shadows& operator=(const Shadows&) = delete;

  /// Begins a shadow, or another in its place: figures begin anew, and replies that were kept go. One that
  /// runs just so goes on. Blocks for a transaction. Errors: kInvalidArgument (the plan; a shadow of itself),
  /// kNotFound (alias, version, similarity model), or what the database says.
  Result<ShadowStatus> set(const Request& request) EXCLUDES(changing_, mutex_);
  /// Ends it; its figures stay, replies that were kept go. Blocks for a transaction. Errors: kNotFound
  /// (alias, shadow), kConflict (it has been stopped).
  Result<ShadowStatus> stop(const std::string& alias, const std::string& who) EXCLUDES(changing_, mutex_);
  /// Ends that of an alias that is gone: one that is made again later is another alias. Blocks for a
  /// transaction.
  void alias_removed(const std::string& alias, const std::string& who) EXCLUDES(changing_, mutex_);
  /// Follows the config file, after every change of the switcher's aliases: a line that says what it said
  /// changes nothing, so that a shadow stopped or changed by a call stays so. Blocks for transactions.
  void define(const std::vector<ShadowDefinition>& definitions) EXCLUDES(changing_, mutex_);

  /// The running one of an alias; null where there is none. Quick: asked for every request.
  [[nodiscard]] ShadowPtr of(std::string_view alias) const EXCLUDES(mutex_);
  /// Whether `shadow` is still the one that runs.
  [[nodiscard]] bool is_running(const Shadow& shadow) const { return of(shadow.alias).get() == &shadow; }

  // What became of one request; nothing where the shadow has ended meanwhile.
  void note(const Shadow& shadow, const ShadowComparison& comparison);
  void note_failed(const Shadow& shadow, std::string_view reason);
  void note_dropped(const Shadow& shadow, std::string_view reason);
  /// Keeps a pair, where the plan says so. Blocks for a transaction.
  void keep(const Shadow& shadow, const ShadowPair& pair);

  /// Writes figures that have changed. Blocks for a transaction; to be called about every second.
  void write() EXCLUDES(changing_, mutex_);

  /// In the order of their aliases.
  [[nodiscard]] std::vector<ShadowStatus> list() const EXCLUDES(mutex_);
  /// Errors: kNotFound.
  [[nodiscard]] Result<ShadowStatus> describe(const std::string& alias) const EXCLUDES(mutex_);
  /// What is kept of replies, newest first. Blocks for one query. Errors: as of describe(), or what the
  /// database says.
  [[nodiscard]] Result<std::vector<ShadowPair>> pairs(const std::string& alias) const EXCLUDES(mutex_);

 private:
  struct Kept {
    store::ShadowRow row;
    ShadowPtr shadow;  ///< null: stopped
    ShadowFigures figures;
    bool unwritten = false;
  };
  using Change = std::function<void(ShadowFigures&)>;

  void load();
  [[nodiscard]] Result<ShadowStatus> begin(const Request& request, const std::string& defined)
      REQUIRES(changing_);
  [[nodiscard]] Result<ShadowStatus> end(const std::string& alias, const std::string& who)
      REQUIRES(changing_);
  void change(const Shadow& shadow, const Change& change) EXCLUDES(mutex_);
  void tell(const ShadowStatus& status, std::string_view move, const std::string& who);
  [[nodiscard]] static ShadowStatus status_of(const Kept& kept);
  [[nodiscard]] static store::ShadowRow row_of(const Kept& kept);
  [[nodiscard]] Result<std::string> known(const std::string& alias) const;

  const Dependencies dependencies_;
  mutable store::ShadowStore store_;
  Mutex changing_;  ///< one change after the other, each with its transaction
  std::uint64_t next_serial_ GUARDED_BY(changing_) = 1;
  mutable Mutex mutex_;
  std::map<std::string, Kept, std::less<>> shadows_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::traffic
