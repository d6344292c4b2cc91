#pragma once

#include <string>

#include "config/catalog.h"

namespace switchyard::config {

/// A version of a catalogued model that no file describes.
struct VersionRequest {
  std::string version;  ///< empty: whoever registers it gives a number
  std::string file;     ///< in the models folder or beside the config file
  engine::ArgMap args;  ///< llama-server options in any spelling, over those of the model's last version
  std::string sha256;
};

/// Checked and in the form that engines take, but for its stamp. Looks at folders: blocks. Errors:
/// kInvalidArgument (name, option, hash), kPermissionDenied (a file outside the folders), kNotFound (file).
[[nodiscard]] Result<engine::ModelSpec> make_version(const Sources& sources, const ServerSettings& server,
                                                     const models::ModelDefinition& model,
                                                     const VersionRequest& request);

}  // namespace switchyard::config
