#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/api/engine.h"

namespace switchyard::models {

/// Names one version of one model. Written `model@version`.
struct VersionRef {
  std::string model;
  std::string version;
  [[nodiscard]] std::string to_string() const { return model + "@" + version; }
  auto operator<=>(const VersionRef&) const = default;
};

/// Where a version is in its life. The table of legal moves is in lifecycle.h.
enum class State : std::uint8_t {
  kCold,       ///< nothing in memory
  kLoading,    ///< from cold or parked, on the way to hot
  kWarming,    ///< loaded; the first generation is running
  kHot,        ///< answers
  kDraining,   ///< no new leases; waits for the held ones, then parks or unloads
  kParked,     ///< weights only
  kUnloading,  ///< memory is being freed
  kFailed,     ///< a load failed or its engine broke; `error` says why; loads again on demand
};
[[nodiscard]] std::string_view to_string(State state) noexcept;

/// How much of a version is in memory: all, the weights, nothing.
enum class Residency : std::uint8_t { kHot, kParked, kCold };
[[nodiscard]] std::string_view to_string(Residency residency) noexcept;

/// How an engine's health is judged, and what is done when it has none.
struct HealthSettings {
  Duration interval = std::chrono::seconds(60);     ///< between probes of an engine that nobody uses; 0: none
  Duration healthy = std::chrono::seconds(1);       ///< an answer that takes less is one of a healthy engine
  Duration degraded = std::chrono::seconds(5);      ///< one that takes as long or longer is as good as none
  std::uint32_t failures = 3;                       ///< probes in a row without a sign of life: broken
  Duration stuck_after = std::chrono::seconds(60);  ///< work that does not go on for so long: broken
  std::uint32_t quarantine_after = 5;               ///< failures in ten minutes; 0: never
  Duration backoff = std::chrono::seconds(1);       ///< before the second try to load it again; doubles
  Duration backoff_max = std::chrono::minutes(5);
  bool operator==(const HealthSettings&) const = default;
};

/// What one model may do and how it is treated; the same for all its versions.
struct ModelSettings {
  bool pin = false;                           ///< never evicted or parked by the server itself
  bool preload = false;                       ///< made hot at start
  std::optional<Duration> park_after = {};    ///< idle time until parked; none = only under pressure
  std::optional<Duration> unload_after = {};  ///< idle time until cold
  double weight = 1.0;                        ///< eviction keeps a model with twice the weight twice as long
  Duration drain_timeout = std::chrono::seconds(30);  ///< bound of an explicit unload (INI stop-timeout)
  HealthSettings health = {};
  bool operator==(const ModelSettings&) const = default;
};

/// A model as catalogued.
struct ModelDefinition {
  std::string id;
  std::vector<engine::ModelSpec> versions;  ///< oldest first; the last one is what the bare id means
  std::vector<std::string> extra_names;     ///< further names that mean the model (llama-server's --alias)
  std::vector<std::string> tags;            ///< shown, not used for routing
  std::string source;  ///< "preset", "models_dir", "cache" (as llama-server's router says) or "config"
  ModelSettings settings;
  bool operator==(const ModelDefinition&) const = default;
};

struct Limits {
  std::uint32_t models_max = 4;  ///< hot engines, loading and draining ones included; 0 = no limit
  ByteSize memory_budget;        ///< for the host; must be > 0
  ByteSize conversations = {};   ///< of it, for conversations kept in memory: never a model's
  std::map<std::string, ByteSize> device_budgets = {};  ///< per ggml device
  Duration max_wait =
      std::chrono::seconds(5);  ///< a held request waits this long before a busy model must give way
  /// Least time a model that became hot stays so while others wait, even idle. None = as long as it
  /// took to make it hot, at most 2 s, so that switching costs at most half of the time; an idle one
  /// that has answered since may then go at once.
  std::optional<Duration> min_residency = {};
  Duration retry_backoff_first = std::chrono::seconds(1);  ///< after a failed load; doubles
  Duration retry_backoff_most = std::chrono::minutes(5);
  Duration lost_after = std::chrono::seconds(10);  ///< a broken engine that does not end is given up then
};

/// One version as `ls` shows it, at the moment it was taken. What is shared does not change.
struct VersionStatus {
  VersionRef ref;
  State state = State::kCold;
  bool pinned = false;
  bool preload = false;
  std::uint32_t leases = 0;
  std::uint32_t waiting = 0;
  std::optional<Error> error = {};  ///< of the last failed load or inspection
  std::optional<engine::LoadProgress> progress = {};
  std::shared_ptr<const engine::Inspection> inspection = {};  ///< null until it is known
  std::optional<Duration> idle_for = {};                      ///< hot or parked and unused for this long
  std::optional<Duration> last_load_time = {};
  bool quarantined = false;
  ByteSize lost = {};  ///< taken by engines of it that broke and do not end: until the process does
  /// Null before the first load: the engine's own entry for /v1/models, and its GET /props.
  std::shared_ptr<const std::string> info_json = {}, props_json = {};
};

/// The little of it that decisions need.
struct Standing {
  State state = State::kCold;
  std::uint32_t leases = 0;
  bool pinned = false;
  std::uint32_t slots = 0;  ///< requests that its engine works for at once; 0 while it has none
  bool quarantined = false;
  /// Not hot, since something went wrong, and not to be tried just now.
  bool in_trouble = false;
};

/// An engine that may be answering.
struct RunningEngine {
  VersionRef ref;
  State state = State::kHot;
  std::uint32_t leases = 0;  ///< of users
  HealthSettings settings;
  std::shared_ptr<const engine::LoopActivity> activity;  ///< null where it is not known
  const engine::Engine* engine = nullptr;                ///< which it is; not to be used
};

/// A version that is in memory.
struct Resident {
  VersionRef ref;
  Residency residency = Residency::kHot;
};

struct ModelStatus {
  std::shared_ptr<const ModelDefinition> definition;  ///< never null
  std::vector<VersionStatus> versions;                ///< same order as definition->versions
};

}  // namespace switchyard::models
