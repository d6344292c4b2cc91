#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "models/types.h"
#include "traffic/canary.h"

namespace switchyard::traffic {

/// One request of an alias as a canary counts it.
struct CanaryObservation {
  models::VersionRef version;                   ///< who answered, or was to
  std::vector<models::VersionRef> failed = {};  ///< who was asked before and could not
  bool counts = true;                           ///< false: its client gave it up, or got it wrong
  bool is_error = false;
  std::optional<Duration> ttft = {};
  std::optional<double> tokens_per_s = {};
};

/// What both arms of a canary did since its step began. Of times and speeds it keeps the newest 2048 an arm.
/// Any thread.
class CanaryFigures {
 public:
  CanaryFigures(models::VersionRef stable, models::VersionRef canary)
      : refs_{std::move(stable), std::move(canary)} {}

  void observe(const CanaryObservation& observation);
  void count_failed_probe(const models::VersionRef& version);
  /// Another step begins, and nothing has been seen in it.
  void begin_step();
  [[nodiscard]] ArmFigures stable() const { return figures(0); }
  [[nodiscard]] ArmFigures canary() const { return figures(1); }

 private:
  template <typename T>
  struct Newest {
    std::vector<T> values;
    std::size_t next = 0;
    void add(T value);
  };
  struct Arm {
    std::uint64_t requests = 0, errors = 0, failed_probes = 0, timed = 0;
    Newest<Duration> ttft;
    Newest<double> speeds;
  };
  [[nodiscard]] Arm* arm_of(const models::VersionRef& version) REQUIRES(mutex_);
  [[nodiscard]] ArmFigures figures(std::size_t arm) const;

  const std::array<models::VersionRef, 2> refs_;
  mutable Mutex mutex_;
  std::array<Arm, 2> arms_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::traffic
