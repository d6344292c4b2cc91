#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "registry/version_info.h"

namespace switchyard::http {

/// A version as a caller asks for it.
struct NewVersion {
  std::string model;
  std::string version;  ///< empty: the next number
  std::string file;
  std::map<std::string, std::string> args;
  std::string sha256;
  std::string notes;
  std::string who;
};

/// The version registry as the API uses it. All or none; each may block.
struct VersionFunctions {
  std::function<Result<std::vector<registry::VersionInfo>>(const std::string& model)> list;
  /// Registers it and makes it part of the catalog.
  std::function<Result<models::VersionRef>(const NewVersion& version)> add;
  /// Errors: kConflict while an alias or a lease holds it.
  std::function<Status(const models::VersionRef& version)> remove;
};

}  // namespace switchyard::http
