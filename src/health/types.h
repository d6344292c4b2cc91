#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/types.h"

namespace switchyard::health {

enum class Health : std::uint8_t {
  kUnknown,      ///< not hot, or nothing has been seen of it yet
  kHealthy,      ///< answers in less than HealthSettings::healthy
  kDegraded,     ///< answers in less than HealthSettings::degraded
  kFailed,       ///< does not
  kQuarantined,  ///< has failed too often: not loaded again until it is released or its file changes
};
[[nodiscard]] std::string_view to_string(Health health) noexcept;

/// Who has seen how it is.
enum class Source : std::uint8_t {
  kProbe,
  kReply,   ///< to a user
  kEngine,  ///< it broke, or did not load
};
[[nodiscard]] std::string_view to_string(Source source) noexcept;

struct Check {
  std::chrono::system_clock::time_point at = {};
  Source source = Source::kProbe;
  Health verdict = Health::kUnknown;
  std::optional<Duration> latency = {};
  std::string error = {};
};

/// One version that is hot, or was and is in trouble, at the moment this was taken.
struct VersionHealth {
  models::VersionRef ref;
  Health health = Health::kUnknown;
  std::chrono::system_clock::time_point since;  ///< it is so
  std::optional<Duration> latency = {};         ///< of the last check that had an answer
  std::uint32_t failures = 0;                   ///< within the last ten minutes: broken engines, failed loads
  std::uint32_t failed_probes = 0;              ///< in a row
  std::uint64_t restarts = 0;                   ///< engines that took a broken one's place
  std::optional<Duration> next_try_in = {};     ///< while it waits to be loaded again
  std::string reason = {};                      ///< of kFailed and kQuarantined
  std::vector<Check> history = {};              ///< newest first
};

}  // namespace switchyard::health
