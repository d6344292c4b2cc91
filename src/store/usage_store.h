#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/state_database.h"

namespace switchyard::store {

/// What one key has used of one model on one day.
struct UsageRow {
  std::string key_id;
  std::string model;
  std::string day;  ///< "2026-01-31", UTC
  std::int64_t requests = 0;
  std::int64_t errors = 0;  ///< of these requests
  std::int64_t prompt_tokens = 0;
  std::int64_t generated_tokens = 0;
  bool operator==(const UsageRow&) const = default;
};

/// Both ends belong to it; an empty text: no bound, any key.
struct UsageQuery {
  std::string from = {}, to = {};  ///< days
  std::string key_id = {};
};

/// Usage per key, model and day. Any thread; each method is one transaction, on disk when it returns. Errors
/// of all: what Database says.
class UsageStore {
 public:
  explicit UsageStore(StateDatabase& state) : state_(state) {}

  /// Adds the counts to what is there: all or none.
  [[nodiscard]] Status add(const std::vector<UsageRow>& rows);
  /// By day, key and model.
  [[nodiscard]] Result<std::vector<UsageRow>> usage(const UsageQuery& query);

 private:
  StateDatabase& state_;
};

}  // namespace switchyard::store
