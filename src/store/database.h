#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "switchyard/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace switchyard::store {

class Database;

/// One prepared statement in use: bind in order, then step. Belongs to its Database and one thread at a time.
class Statement {
 public:
  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view value);
  /// NULL where there is none.
  Statement& bind_real(std::optional<double> value);
  /// True when there is a row to read, false at the end. Errors: kInternal with SQLite's words.
  [[nodiscard]] Result<bool> step();
  /// Runs a statement that gives no rows.
  [[nodiscard]] Status run();
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string text(int column) const;
  /// Nothing for NULL.
  [[nodiscard]] std::optional<double> real(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int next_parameter_ = 1;
  Error prepare_error_;
};

/// One SQLite connection: WAL, so that a kill -9 loses at most what was not yet committed, and a
/// schema version in user_version. Not thread-safe: its owner locks.
class Database {
 public:
  /// Opens or creates `path` (":memory:" for none on disk) and brings its schema to
  /// `migrations.size()`: migrations[n] is the SQL that takes version n to n + 1, each in one
  /// transaction. Errors: kCorruptFile when it is no sound database or of a later version,
  /// kUnavailable when it cannot be opened or written.
  [[nodiscard]] static Result<Database> open(const std::string& path,
                                             std::span<const std::string_view> migrations);

  /// All that the file at `path` holds, in memory: nothing is written beside it, so its folder may be
  /// read-only. Errors: as open().
  [[nodiscard]] static Result<Database> open_copy(const std::string& path,
                                                  std::span<const std::string_view> migrations);

  [[nodiscard]] Statement prepare(std::string_view sql);
  /// One or more statements without parameters.
  [[nodiscard]] Status execute(const std::string& sql);
  /// Its file, absolute; empty in memory.
  [[nodiscard]] std::string path() const;

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  explicit Database(sqlite3* connection) : connection_(connection) {}
  [[nodiscard]] Status copy_from(const std::string& uri);
  [[nodiscard]] Status migrate(std::span<const std::string_view> migrations);
  [[nodiscard]] Status check_sound();
  std::unique_ptr<sqlite3, Close> connection_;
};

/// Database::open, but a damaged file is moved aside to `path.corrupt-<unix time>` with a warning in the
/// log and begun anew, and what cannot be opened or written becomes a database in memory, with what can be
/// read of it. Empty path: in memory.
[[nodiscard]] Database open_or_replace(const std::string& path, std::span<const std::string_view> migrations);

}  // namespace switchyard::store
