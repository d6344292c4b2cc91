#pragma once

#include <optional>
#include <vector>

#include "health/types.h"

// What is done about a version that has failed, decided by a pure function of values.

namespace switchyard::health {

/// Failures longer ago than this are forgotten.
inline constexpr Duration kMemory = std::chrono::minutes(10);

/// One version that was answering when it failed.
struct Trouble {
  TimePoint now;
  std::vector<TimePoint> failures;  ///< broken engines and failed loads, oldest first
  bool loading = false;             ///< somebody's request is loading it already
  double jitter = 0;                ///< in 0..1: how much of the spread this wait takes
};

struct Action {
  enum class Kind : std::uint8_t {
    kNone,        ///< wait for what is going on
    kWait,        ///< until `at`
    kLoad,        ///< beside what is left of the broken engine where there is room, else in its place
    kQuarantine,  ///< it has failed too often
  };
  Kind kind = Kind::kNone;
  TimePoint at = {};
  bool operator==(const Action&) const = default;
};

/// The first time it is loaded at once; each further failure doubles the wait and spreads it by up to half,
/// so that what failed together is not loaded together.
[[nodiscard]] Action next_action(const Trouble& trouble, const models::HealthSettings& settings);

}  // namespace switchyard::health
