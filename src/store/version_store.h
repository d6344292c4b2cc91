#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "store/state_database.h"

namespace switchyard::store {

struct VersionRow {
  std::int64_t id = 0;  ///< in the order in which they were added
  std::string model, version;
  std::string origin;  ///< the config's or the models folder's name for it; empty: added by a call
  std::map<std::string, std::string> args;
  std::string stamp;   ///< of the file when it was added
  std::string sha256;  ///< that the file must have; empty for none
  std::string notes, added_by;
  std::int64_t added = 0;  ///< milliseconds since 1970
};

/// Every version there has been, and the hashes of files. Any thread; each method is one transaction, on
/// disk when it returns. Errors of all: what Database says.
class VersionStore {
 public:
  explicit VersionStore(StateDatabase& state) : state_(state) {}

  [[nodiscard]] Result<std::vector<VersionRow>> versions();
  /// Adds those whose id is 0, sets their ids, and replaces the others.
  [[nodiscard]] Status put(std::vector<VersionRow>& rows);
  [[nodiscard]] Status remove(std::int64_t id);

  /// Nothing where the file is not known with this stamp.
  [[nodiscard]] std::optional<std::string> hash(const std::string& path, const std::string& stamp);
  [[nodiscard]] Status put_hash(const std::string& path, const std::string& stamp, const std::string& sha256);

 private:
  StateDatabase& state_;
};

}  // namespace switchyard::store
