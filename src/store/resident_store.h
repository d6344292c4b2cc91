#pragma once

#include <string>
#include <vector>

#include "store/state_database.h"

namespace switchyard::store {

struct ResidentRow {
  std::string version;    ///< model@version
  std::string residency;  ///< "hot" or "parked"
  bool operator==(const ResidentRow&) const = default;
};

/// Which versions were in memory, the most recently used first. Any thread; each method is one
/// transaction. Errors: what Database says.
class ResidentStore {
 public:
  explicit ResidentStore(StateDatabase& state) : state_(state) {}
  [[nodiscard]] Result<std::vector<ResidentRow>> residents();
  [[nodiscard]] Status put(const std::vector<ResidentRow>& rows);

 private:
  StateDatabase& state_;
};

}  // namespace switchyard::store
