#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config_file.h"
#include "config/server_settings.h"
#include "models/types.h"
#include "switchyard/result.h"

namespace switchyard::config {

/// Copies of an alias's requests; see traffic/shadow.h for what the settings mean.
struct AliasShadow {
  models::VersionRef to;
  double fraction = 0.1;
  std::string similarity_model = {};
  bool keep_replies = false;
  bool beside_users = false;
  std::uint32_t max_tokens = 0;
  bool operator==(const AliasShadow&) const = default;
};

struct Alias {
  std::string name;
  models::VersionRef to;  ///< of a split its first arm
  std::vector<std::string> fallbacks = {};
  std::vector<std::pair<models::VersionRef, double>> split = {};  ///< arms and their weights in percent
  std::string sticky_header = {};
  std::optional<AliasShadow> shadow = {};
  bool operator==(const Alias&) const = default;
};

/// Everything that the server is told, merged, looked up on disk and checked.
struct Catalog {
  ServerSettings server;
  models::Limits limits;
  std::vector<models::ModelDefinition> models;  ///< by id
  std::vector<Alias> aliases;
  std::string default_model;       ///< configured, or the only one; empty otherwise
  bool single_model = false;       ///< -m or -hf: stands in for a one-model llama-server
  std::vector<std::string> notes;  ///< for the log: what was found and is not quite right
};

/// What does not grow with the number of models.
[[nodiscard]] Catalog without_models(const Catalog& catalog);

/// Builds the catalog from all places. A model's options by precedence: command line > YAML version >
/// YAML model > INI section > what the models folder or the cache says > YAML defaults > INI [*] >
/// environment. A model whose file is missing is kept; asking for it gives a typed error. Reads folders
/// and files: blocks. Errors: kInvalidArgument, kNotFound (folder, file), kUnimplemented, each naming
/// its place; all faults of one YAML file at once. Nothing is changed by it: call it again to reload.
[[nodiscard]] Result<Catalog> build_catalog(const Sources& sources);

/// The repository that -hf names when the server is to answer for that one model; empty otherwise.
struct RemoteModel {
  std::string repo;
  std::string file;
};
[[nodiscard]] RemoteModel single_remote_model(const Sources& sources);

}  // namespace switchyard::config
