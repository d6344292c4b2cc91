#pragma once

#include <string>
#include <vector>

#include "store/state_database.h"

namespace switchyard::store {

struct QuarantineRow {
  std::string version;  ///< model@version
  std::string spec;     ///< what it was made of then: another one starts afresh
  std::string reason;
  bool operator==(const QuarantineRow&) const = default;
};

/// Which versions are quarantined. Any thread; each method is one transaction. Errors: what Database says.
class QuarantineStore {
 public:
  explicit QuarantineStore(StateDatabase& state) : state_(state) {}
  [[nodiscard]] Result<std::vector<QuarantineRow>> quarantines();
  [[nodiscard]] Status put(const std::vector<QuarantineRow>& rows);

 private:
  StateDatabase& state_;
};

}  // namespace switchyard::store
