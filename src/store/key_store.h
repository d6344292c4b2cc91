#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/state_database.h"

namespace switchyard::store {

/// A key as it is kept. Of its secret there is the hash, and not even that once it is revoked.
struct KeyRow {
  std::string id;
  std::string hash;  ///< empty: revoked
  std::string key_alias = {};
  std::string scopes = {};               ///< "inference,read"
  std::vector<std::string> models = {};  ///< names that it may use; empty: any
  std::vector<std::pair<std::string, std::string>> aliases = {};
  std::optional<std::int64_t> rpm_limit = {}, tpm_limit = {}, max_parallel_requests = {};
  double weight = 1;
  bool blocked = false;
  std::int64_t created = 0;   ///< milliseconds since 1970
  std::int64_t expires = 0;   ///< 0: never
  std::int64_t revoked = 0;   ///< 0: not
  std::string metadata = {};  ///< JSON text
  bool operator==(const KeyRow&) const = default;
};

/// The keys that tenants have, and have had. Any thread; each method is one transaction, on disk when it
/// returns. Errors of all: what Database says.
class KeyStore {
 public:
  explicit KeyStore(StateDatabase& state) : state_(state) {}

  /// In the order in which they were made.
  [[nodiscard]] Result<std::vector<KeyRow>> keys();
  /// Adds those with a new id, replaces the others: all or none.
  [[nodiscard]] Status put(const std::vector<KeyRow>& rows);

 private:
  StateDatabase& state_;
};

}  // namespace switchyard::store
