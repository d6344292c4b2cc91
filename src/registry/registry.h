#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "models/manager.h"
#include "registry/hasher.h"
#include "registry/merge.h"
#include "registry/version_info.h"
#include "store/version_store.h"

namespace switchyard::registry {

/// All versions there are and have been, each immutable, kept over restarts. Any thread.
class Registry {
 public:
  explicit Registry(store::StateDatabase& state);
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  /// Joins what is configured with what is registered, and registers what is new. Errors: what the
  /// database says; nothing has changed then.
  [[nodiscard]] Result<Merged> apply(const std::vector<models::ModelDefinition>& configured,
                                     const models::Manager& manager) EXCLUDES(mutex_);

  /// In the order in which they were added. Reads the database.
  [[nodiscard]] Result<std::vector<VersionInfo>> list(const std::string& model) EXCLUDES(mutex_);
  /// Errors: kNotFound.
  [[nodiscard]] Result<VersionInfo> describe(const models::VersionRef& ref) EXCLUDES(mutex_);

  /// Registers `spec`; an empty version gets the next number. The catalog has it after the next apply().
  /// Errors: kConflict (there is one of that name).
  [[nodiscard]] Result<models::VersionRef> add(engine::ModelSpec spec, const std::string& notes,
                                               const std::string& who) EXCLUDES(mutex_);
  /// Forgets it; the catalog is without it after the next apply(). Errors: kNotFound, kConflict (the config
  /// or a folder has it).
  [[nodiscard]] Status remove(const models::VersionRef& ref) EXCLUDES(mutex_);

  /// What became of the file of `ref`; nothing while it is as it was.
  [[nodiscard]] std::optional<models::VersionRef> successor(const models::VersionRef& ref) const
      EXCLUDES(mutex_);

 private:
  [[nodiscard]] VersionInfo info_of(const store::VersionRow& row) EXCLUDES(mutex_);

  store::VersionStore store_;
  mutable Mutex mutex_;
  std::map<models::VersionRef, models::VersionRef> successors_ GUARDED_BY(mutex_);
  Hasher hasher_;
};

/// The loader that never takes a replaced file for the version that it was: such a version stays as long
/// as it is in memory and cannot be loaded again. `inner` and `registry` must outlive it.
[[nodiscard]] std::unique_ptr<engine::EngineLoader> guard_loader(engine::EngineLoader& inner,
                                                                 const Registry& registry);

/// "size:mtime:inode" of a file, as in ModelSpec::file_stamp; empty for none.
[[nodiscard]] std::string file_stamp(const std::string& path);

}  // namespace switchyard::registry
