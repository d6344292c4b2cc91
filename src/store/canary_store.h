#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/state_database.h"

namespace switchyard::store {

/// A canary as it is kept; the newest of an alias counts. Versions are written model@version.
struct CanaryRow {
  std::int64_t id = 0;  ///< 0: not kept yet
  std::string alias, stable, canary, plan, state, who;
  std::int64_t step = 0;
  std::int64_t started = 0;  ///< milliseconds since 1970
  std::int64_t ended = 0;
};

/// What was decided of one, and why.
struct CanaryDecisionRow {
  std::int64_t at = 0;  ///< milliseconds since 1970
  std::string move, reason, who;
  double percent = 0;  ///< the canary's share from then on
};

/// Canaries and what was decided of them. Any thread; each method is one transaction, on disk when it
/// returns. Errors of all: what Database says.
class CanaryStore {
 public:
  explicit CanaryStore(StateDatabase& state) : state_(state) {}

  /// The newest of each alias.
  [[nodiscard]] Result<std::vector<CanaryRow>> newest();
  /// Gives a new row its id. The oldest beyond 100 of an alias go, with their decisions.
  [[nodiscard]] Status put(CanaryRow& row, const CanaryDecisionRow& decision);
  /// Newest first, 1000 at most.
  [[nodiscard]] Result<std::vector<CanaryDecisionRow>> decisions(std::int64_t canary);

 private:
  StateDatabase& state_;
};

}  // namespace switchyard::store
