#include "store/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "telemetry/log.h"

namespace switchyard::store {
namespace {

ErrorCode code_of(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return ErrorCode::kCorruptFile;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_FULL:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR: return ErrorCode::kUnavailable;
    default: return ErrorCode::kInternal;
  }
}

/// What to do about it, where something can be done.
std::string_view advice_for(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_FULL: return ": its disk is full, make room there";
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return ": another process holds it, end that one";
    case SQLITE_READONLY: return ": it cannot be written, check its folder and file system";
    case SQLITE_IOERR: return ": its disk has errors or is full";
    default: return "";
  }
}

Error error_of(sqlite3* connection, std::string_view doing) {
  const int code = sqlite3_extended_errcode(connection);
  const char* const file = sqlite3_db_filename(connection, "main");
  const bool in_file = file != nullptr && *file != '\0';
  return Error{
      code_of(code),
      fmt::format("the database {} could not be used{}", in_file ? file : "in memory", advice_for(code)),
      fmt::format("{}: {}", sqlite3_errmsg(connection), doing)};
}

std::string uri_of(const std::string& path, std::string_view options) {
  std::string uri = "file:";
  for (const char c : path)
    uri += c == '?' || c == '#' || c == '%' ? fmt::format("%{:02x}", c) : std::string(1, c);
  return fmt::format("{}?{}", uri, options);
}

/// Moves the file and what SQLite keeps beside it out of the way, keeping it for a person to look at.
void move_aside(const std::string& path, const Error& why) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  const std::string aside = fmt::format("{}.corrupt-{}", path, seconds);
  std::error_code ignored;
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::rename(path + suffix, aside + suffix, ignored);
  }
  telemetry::log_warning("store", "{} cannot be used; moved to {} and begun anew: {}", path, aside,
                         why.to_string());
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
void Database::Close::operator()(sqlite3* connection) const { sqlite3_close(connection); }

Statement& Statement::bind(std::int64_t value) {
  if (statement_) sqlite3_bind_int64(statement_.get(), next_parameter_++, value);
  return *this;
}

Statement& Statement::bind(std::string_view value) {
  if (statement_) {
    sqlite3_bind_text64(statement_.get(), next_parameter_++, value.data(), value.size(), SQLITE_TRANSIENT,
                        SQLITE_UTF8);
  }
  return *this;
}

Statement& Statement::bind_real(std::optional<double> value) {
  if (!statement_) return *this;
  if (value)
    sqlite3_bind_double(statement_.get(), next_parameter_++, *value);
  else
    sqlite3_bind_null(statement_.get(), next_parameter_++);
  return *this;
}

Result<bool> Statement::step() {
  if (!statement_) return std::unexpected(prepare_error_);
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return std::unexpected(error_of(sqlite3_db_handle(statement_.get()), sqlite3_sql(statement_.get())));
}

Status Statement::run() {
  const Result<bool> row = step();
  if (!row) return std::unexpected(row.error());
  return {};
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::optional<double> Statement::real(int column) const {
  if (sqlite3_column_type(statement_.get(), column) == SQLITE_NULL) return std::nullopt;
  return sqlite3_column_double(statement_.get(), column);
}

Statement Database::prepare(std::string_view sql) {
  Statement statement;
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(connection_.get(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr) !=
      SQLITE_OK) {
    statement.prepare_error_ = error_of(connection_.get(), sql);
  }
  statement.statement_.reset(raw);
  return statement;
}

Status Database::execute(const std::string& sql) {
  if (sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return std::unexpected(error_of(connection_.get(), sql));
}

std::string Database::path() const {
  const char* const file = sqlite3_db_filename(connection_.get(), "main");
  return file == nullptr ? std::string() : file;
}

Status Database::check_sound() {
  Statement check = prepare("PRAGMA quick_check(1)");
  const Result<bool> row = check.step();
  if (!row) return std::unexpected(row.error());
  const std::string verdict = *row ? check.text(0) : "no answer";
  if (verdict != "ok") return fail(ErrorCode::kCorruptFile, "database: damaged", verdict);
  return {};
}

Status Database::migrate(std::span<const std::string_view> migrations) {
  Statement pragma = prepare("PRAGMA user_version");
  const Result<bool> row = pragma.step();
  if (!row) return std::unexpected(row.error());
  const auto version = static_cast<std::size_t>(pragma.integer(0));
  pragma = {};
  if (version > migrations.size()) {
    return fail(ErrorCode::kCorruptFile,
                fmt::format("database: its schema version {} is later than this program's {}", version,
                            migrations.size()));
  }
  for (std::size_t next = version; next < migrations.size(); ++next) {
    const Status done = execute(
        fmt::format("BEGIN IMMEDIATE; {}; PRAGMA user_version={}; COMMIT", migrations[next], next + 1));
    if (done) continue;
    sqlite3_exec(connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    return done;
  }
  return {};
}

Result<Database> Database::open(const std::string& path, std::span<const std::string_view> migrations) {
  sqlite3* raw = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  Database database(raw);
  if (code != SQLITE_OK) {
    return fail(ErrorCode::kUnavailable, fmt::format("cannot open the database {}", path),
                raw ? sqlite3_errmsg(raw) : "out of memory");
  }
  sqlite3_busy_timeout(raw, 2000);
  // A small cache: the check reads all of the file, and the kernel has it cached as well.
  Status ready =
      database.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-128");
  if (ready) ready = database.check_sound();
  if (ready) ready = database.migrate(migrations);
  // A full disk lets everything pass but this.
  if (ready) ready = database.execute("BEGIN IMMEDIATE; CREATE TABLE probe(x); DROP TABLE probe; COMMIT");
  if (!ready) return std::unexpected(ready.error());
  return database;
}

Status Database::copy_from(const std::string& uri) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(uri.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, nullptr);
  const Database source(raw);
  if (code != SQLITE_OK) return std::unexpected(error_of(raw, "open"));
  sqlite3_backup* const backup = sqlite3_backup_init(connection_.get(), "main", raw, "main");
  if (backup != nullptr) sqlite3_backup_step(backup, -1);
  if (backup != nullptr && sqlite3_backup_finish(backup) == SQLITE_OK) return {};
  return std::unexpected(error_of(connection_.get(), "read"));
}

Result<Database> Database::open_copy(const std::string& path, std::span<const std::string_view> migrations) {
  Result<Database> copy = open(":memory:", {});
  if (!copy) return copy;
  // With what is in the write-ahead log, where SQLite can read that without writing an index for it.
  Status ready = copy->copy_from(uri_of(path, "mode=ro"));
  if (!ready) ready = copy->copy_from(uri_of(path, "immutable=1"));
  if (ready) ready = copy->check_sound();
  if (ready) ready = copy->migrate(migrations);
  if (!ready) return std::unexpected(ready.error());
  return copy;
}

Database open_or_replace(const std::string& path, std::span<const std::string_view> migrations) {
  if (!path.empty() && path != ":memory:") {
    Result<Database> opened = Database::open(path, migrations);
    if (!opened && opened.error().code == ErrorCode::kCorruptFile) {
      move_aside(path, opened.error());
      opened = Database::open(path, migrations);
    }
    if (opened) return std::move(*opened);
    telemetry::log_warning("store", "{} is kept in memory only: {}", path, opened.error().to_string());
    if (std::error_code error; std::filesystem::exists(path, error)) {
      if (Result<Database> copy = Database::open_copy(path, migrations)) return std::move(*copy);
    }
  }
  Result<Database> memory = Database::open(":memory:", migrations);
  if (!memory) std::abort();  // SQLite without memory: nothing can go on
  return std::move(*memory);
}

}  // namespace switchyard::store
