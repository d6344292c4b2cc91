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
  kFailed,     ///< the last load failed; `error` says why; loads again on demand after `retry_at`
};
[[nodiscard]] std::string_view to_string(State state) noexcept;

/// How much of a version is in memory: all, the weights, nothing.
enum class Residency : std::uint8_t { kHot, kParked, kCold };
[[nodiscard]] std::string_view to_string(Residency residency) noexcept;

/// What one model may do and how it is treated; the same for all its versions.
struct ModelSettings {
  bool pin = false;                           ///< never evicted or parked by the server itself
  bool preload = false;                       ///< made hot at start
  std::optional<Duration> park_after = {};    ///< idle time until parked; none = only under pressure
  std::optional<Duration> unload_after = {};  ///< idle time until cold
  double weight = 1.0;                        ///< eviction keeps a model with twice the weight twice as long
  Duration drain_timeout = std::chrono::seconds(30);  ///< bound of an explicit unload (INI stop-timeout)
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
  /// Null before the first load: the engine's own entry for /v1/models, and its GET /props.
  std::shared_ptr<const std::string> info_json = {}, props_json = {};
};

/// The little of it that decisions need.
struct Standing {
  State state = State::kCold;
  std::uint32_t leases = 0;
  bool pinned = false;
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
