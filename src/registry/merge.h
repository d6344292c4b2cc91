#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "models/types.h"
#include "store/version_store.h"

// Which versions there are: what is configured now, joined with what is registered. A pure function of
// values, so its tests are tables.

namespace switchyard::registry {

/// The world outside, as far as a merge looks at it.
struct Surroundings {
  /// Hot, parked, or on the way: its engine goes on, whatever became of its file.
  std::function<bool(const models::VersionRef&)> in_memory;
  /// Of the file that is there now; empty for none. The same text as ModelSpec::file_stamp.
  std::function<std::string(const std::string& path)> stamp_of;
  std::int64_t now = 0;  ///< milliseconds since 1970
};

struct Merged {
  std::vector<models::ModelDefinition> models;  ///< for the manager
  std::vector<store::VersionRow> rows;          ///< new (id 0) or changed ones, to be kept
  /// Versions whose file was replaced, and what the new file is called. One that is not in memory any
  /// more cannot be loaded again.
  std::map<models::VersionRef, models::VersionRef> successors;
  /// What the config calls it -> the version that this is now.
  std::map<models::VersionRef, models::VersionRef> means;
};

/// `configured` as the config and the folders say, each version under its configured name.
[[nodiscard]] Merged merge(const std::vector<models::ModelDefinition>& configured,
                           const std::vector<store::VersionRow>& registered, const Surroundings& around);

/// The next free number among names: "3" after {"1", "2", "beta"}.
[[nodiscard]] std::string next_number(const std::vector<std::string>& names);

}  // namespace switchyard::registry
