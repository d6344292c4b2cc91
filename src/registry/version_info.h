#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "models/types.h"

namespace switchyard::registry {

/// What is known of one version. `sha256` is empty until the file has been hashed, in the background.
struct VersionInfo {
  models::VersionRef ref;
  std::string file;
  std::map<std::string, std::string> args;
  std::string sha256;
  std::string pinned_sha256;  ///< that the file must have
  std::string notes;
  std::string added_by;    ///< "config", "models-dir", "preset", "cache", or who called
  std::int64_t added = 0;  ///< milliseconds since 1970
  bool by_call = false;    ///< and may be removed by one
  std::optional<models::VersionRef> replaced_by = {};  ///< its file is another one now
};

}  // namespace switchyard::registry
