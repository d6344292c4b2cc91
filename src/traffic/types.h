#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "models/manager.h"
#include "traffic/split.h"

// The words of a switch. Every enum's text is what the API, the history and the events say.

namespace switchyard::traffic {

/// A public name and the version it points at, or the versions that it is split over.
struct Alias {
  std::string name;
  models::VersionRef to;  ///< of a split its first arm
  /// Of one from the config file: what that calls `to`, where it is another name.
  std::string defined = {};
  /// Names of models or versions that answer while it cannot, the first that can.
  std::vector<std::string> fallbacks = {};
  std::vector<Arm> split = {};  ///< empty: all requests get `to`
  std::string sticky_header = {};
  bool operator==(const Alias&) const = default;
};

/// Whether some of its requests may get `version`.
[[nodiscard]] inline bool means(const Alias& alias, const models::VersionRef& version) {
  return alias.to == version || std::ranges::find(alias.split, version, &Arm::to) != alias.split.end();
}

/// TensorFlow Serving's terms.
enum class Policy : std::uint8_t {
  kAvailabilityPreserving,  ///< the new version is hot before the old one goes
  kResourcePreserving,      ///< the old one goes first; requests are held meanwhile
};

/// What becomes of the version that an alias leaves. Its running requests end whole in any case.
enum class KeepOld : std::uint8_t {
  kParked,  ///< a way back takes milliseconds
  kCold,    ///< its memory is freed
  kHot,     ///< stays as long as the room allows
};

enum class Phase : std::uint8_t { kAdmit, kLoad, kWarmUp, kProbe, kFlip, kDrain, kSettle };

enum class Outcome : std::uint8_t {
  kRunning,
  kOk,
  kFailed,      ///< the alias means what it meant before
  kSuperseded,  ///< a newer switch came before it had flipped
  kCancelled,
  kRolledBack,  ///< it was ok, and then undone by a rollback
};

/// Why a name moves.
enum class Kind : std::uint8_t {
  kSwitch,
  kCreate,    ///< a new alias
  kRollback,  ///< to where it was before
  kConfig,    ///< the config file says another version than it said
  kUpgrade,   ///< a model's bare name follows its newest version
  kRemove,
  kSplit,  ///< it means several versions now, or with other weights
};

[[nodiscard]] std::string_view to_string(Policy policy) noexcept;
[[nodiscard]] std::string_view to_string(KeepOld keep) noexcept;
[[nodiscard]] std::string_view to_string(Phase phase) noexcept;
[[nodiscard]] std::string_view to_string(Outcome outcome) noexcept;
[[nodiscard]] std::string_view to_string(Kind kind) noexcept;
/// Nothing for a word that is none. Instantiated for the enums above.
template <typename Enum>
[[nodiscard]] std::optional<Enum> parse(std::string_view word) noexcept;

struct SwitchOptions {
  Policy policy = Policy::kAvailabilityPreserving;
  KeepOld keep_old = KeepOld::kParked;
  Duration drain_timeout = std::chrono::seconds(30);  ///< then it is reported as still draining
  bool force = false;  ///< ends the streams that are left at the drain timeout, with an error frame
  std::string who = "server";
  std::string why = {};
};

struct PhaseTime {
  Phase phase;
  Duration took;
};

/// How a switch goes or went: what its caller, the history and the API are told.
struct SwitchReport {
  std::int64_t id = 0;  ///< in the history; 0 for one that was refused before it began
  std::string alias;
  Kind kind = Kind::kSwitch;
  models::VersionRef from = {};  ///< empty for a new alias
  models::VersionRef to = {};
  Policy policy = Policy::kAvailabilityPreserving;
  KeepOld keep_old = KeepOld::kParked;
  std::string who = {};
  std::string why = {};
  Outcome outcome = Outcome::kRunning;
  Phase phase = Phase::kAdmit;         ///< where it is, or where it ended
  std::optional<Error> error = {};     ///< says what serves now
  models::VersionRef serving = {};     ///< what the alias means now
  std::vector<PhaseTime> phases = {};  ///< those that have ended
  std::vector<Arm> split = {};         ///< of a kSplit
  bool still_draining = false;         ///< the drain timeout came before the old version's last reply
  std::uint32_t draining_leases = 0;
  std::chrono::system_clock::time_point started = {};
  std::chrono::system_clock::time_point ended = {};

  [[nodiscard]] Status status() const {
    if (error) return std::unexpected(*error);
    return {};
  }
};

enum class WhenMissing : std::uint8_t { kRefuse, kMake };

/// Over which versions an alias is to be split.
struct SplitSpec {
  struct Arm {
    std::string to;  ///< model@version, or whatever Switcher::resolve() takes
    double weight = 0;
  };
  std::vector<Arm> arms;
  /// Keeps the header that was there when missing.
  std::optional<std::string> sticky_header = {};
};

struct SwitchRequest {
  std::string alias;
  std::string to;  ///< model@version, or whatever Switcher::resolve() takes; unused for a rollback
  SwitchOptions options = {};
  Kind kind = Kind::kSwitch;  ///< kSwitch or kRollback from callers
  WhenMissing when_missing = WhenMissing::kRefuse;
  std::optional<std::vector<std::string>> fallbacks = {};  ///< the alias has these from its flip on
  /// Instead of `to`. The first arm is what the alias means besides; one that it means already stays that.
  std::optional<SplitSpec> split = {};
  /// Refused with kConflict where the alias is not split over all of these: somebody has moved it.
  std::vector<models::VersionRef> only_if_split_over = {};
  /// Refused with kConflict where the alias means any version that is none of these.
  std::vector<models::VersionRef> only_if_within = {};
  /// Refused with kConflict while another switch of the alias runs, where it would supersede that.
  bool yields = false;
  /// It is in the history and has begun. Must not block.
  std::function<void(const SwitchReport&)> begun = {};
  /// Called exactly once, when all is over or it was refused. Must not block.
  std::function<void(const SwitchReport&)> done = {};
};

/// One name as it is now.
struct AliasStatus {
  Alias alias;
  bool is_model = false;                     ///< a model's own name
  std::string defined;                       ///< by the config file: what that says; else empty
  std::vector<models::VersionRef> previous;  ///< where rollbacks go, one after the other
  bool followed_files = false;               ///< it was moved last because files behind it were replaced
  std::optional<SwitchReport> running = {};  ///< a switch that has not flipped
};

/// What a switch would do.
struct SwitchPreview {
  models::VersionRef from, to;
  models::Preview load;
  std::optional<models::Residency> old_to = {};  ///< what becomes of the old version
  Duration expected = {};
};

}  // namespace switchyard::traffic
