#pragma once

#include <cstdint>
#include <unordered_set>
#include <vector>

#include "experiments/experiment_row.h"
#include "experiments/tally.h"

namespace switchyard::experiments {

/// How the interval of a variant's primary metric was after so many observations.
struct TrailPoint {
  std::size_t arm = 0;
  std::int64_t observations = 0;  ///< of the arm that had fewer
  Interval interval = {};         ///< of compared values
};

/// One experiment with all that is known of it: a value.
struct Trial {
  std::int64_t serial = 0;
  Definition definition;
  Progress progress = {};
  Tally tally{definition.arms.size()};
  std::vector<TrailPoint> trail = {};  ///< in the order of their observations
};

/// Subjects that an experiment has seen, by a hash. Those beyond the most that are kept count as seen: fewer
/// assignments are counted then, of all arms alike.
class Subjects {
 public:
  static constexpr std::size_t kMost = 100'000;
  [[nodiscard]] bool is_new(std::int64_t subject) const {
    return seen_.size() < kMost && !seen_.contains(subject);
  }
  void add(std::int64_t subject) { seen_.insert(subject); }

 private:
  std::unordered_set<std::int64_t> seen_;
};

/// The same number for the same text, in every process (FNV-1a).
[[nodiscard]] std::int64_t hash_of(std::string_view subject);

/// Points that the trail is to have for these numbers: none where little has come since the last ones.
[[nodiscard]] std::vector<TrailPoint> next_points(const Trial& trial, const Verdict& verdict);

}  // namespace switchyard::experiments
