#pragma once

#include <string>

#include "base/mutex.h"
#include "store/database.h"

namespace switchyard::store {

/// What must be there again after a kill -9: aliases and their history, versions, what was in memory, keys
/// and their usage. One file for one server at a time, each change on disk before it is acknowledged. Any
/// thread.
class StateDatabase {
 public:
  /// `path` is an SQLite file, made when absent; empty: in memory. A damaged file is moved aside as of
  /// open_or_replace(); one that another server has open is left alone and nothing is kept; one that
  /// cannot be written is read, and nothing is kept. One that is
  /// removed while it is in use is there again after the next change.
  explicit StateDatabase(const std::string& path = {});
  ~StateDatabase();
  StateDatabase(const StateDatabase&) = delete;
  StateDatabase& operator=(const StateDatabase&) = delete;

  /// The folder is this server's: others may not write there.
  [[nodiscard]] bool is_owner() const { return lock_ >= 0; }

  /// Runs `use(Database&)`, one at a time.
  template <typename Use>
  auto with(Use use) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return use(database_);
  }
  /// Runs `change(Database&)`, which gives a Status, in one transaction: all of it or nothing.
  template <typename Change>
  [[nodiscard]] Status change(Change change) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    keep_file();
    if (Status begun = database_.execute("BEGIN IMMEDIATE"); !begun) return begun;
    Status done = change(database_);
    if (done) done = database_.execute("COMMIT");
    if (!done) {
      // Its own error adds nothing: where it can fail, SQLite has rolled back by itself.
      [[maybe_unused]] const Status undone = database_.execute("ROLLBACK");
    }
    return done;
  }

 private:
  struct Lock;
  StateDatabase(const std::string& path, const Lock& lock);
  /// Writes the file anew, all of it, where somebody has removed it: SQLite would go on with one that has no
  /// name. Where that cannot be done it is said once, and tried again with the next change.
  void keep_file() REQUIRES(mutex_);

  const int lock_;  ///< file that only one server holds; -1 in memory
  Mutex mutex_;
  Database database_ GUARDED_BY(mutex_);
  bool told_ GUARDED_BY(mutex_) = false;  ///< that its file is gone
};

}  // namespace switchyard::store
