#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/state_database.h"

namespace switchyard::store {

/// The shadow of an alias, running or its last, as it is kept. Versions are written model@version.
struct ShadowRow {
  std::string alias, target, plan, figures, state, who;
  std::string defined;       ///< what the config file said when it was last followed
  std::int64_t started = 0;  ///< milliseconds since 1970
  std::int64_t ended = 0;
};

/// A request with both replies.
struct ShadowPairRow {
  std::int64_t at = 0;  ///< milliseconds since 1970
  std::string request_id, version, prompt, reply, copy;
  std::string similarity;  ///< empty where there is none
};

/// Shadows, and the replies that some are told to keep. Any thread; each method is one transaction, on disk
/// when it returns. Errors of all: what Database says.
class ShadowStore {
 public:
  explicit ShadowStore(StateDatabase& state) : state_(state) {}

  [[nodiscard]] Result<std::vector<ShadowRow>> shadows();
  /// All in one transaction.
  [[nodiscard]] Status put(const std::vector<ShadowRow>& rows);
  /// The same, and what was kept of the alias's replies goes.
  [[nodiscard]] Status put_without_pairs(const ShadowRow& row);
  /// The oldest beyond 100 of an alias go.
  [[nodiscard]] Status keep(const std::string& alias, const ShadowPairRow& pair);
  /// Newest first.
  [[nodiscard]] Result<std::vector<ShadowPairRow>> pairs(const std::string& alias);

 private:
  StateDatabase& state_;
};

}  // namespace switchyard::store
