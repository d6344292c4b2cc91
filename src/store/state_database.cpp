#include "store/state_database.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "telemetry/log.h"

namespace switchyard::store {
namespace {

// Versions are written model@version. Times are milliseconds since 1970.
constexpr std::array<std::string_view, 8> kMigrations = {
    "CREATE TABLE aliases(name TEXT PRIMARY KEY, kind TEXT NOT NULL, target TEXT NOT NULL, "
    "defined TEXT NOT NULL, considered TEXT NOT NULL, previous TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE switches(id INTEGER PRIMARY KEY AUTOINCREMENT, alias TEXT NOT NULL, kind TEXT NOT NULL, "
    "who TEXT NOT NULL, why TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, policy TEXT NOT NULL, "
    "keep_old TEXT NOT NULL, outcome TEXT NOT NULL, phase TEXT NOT NULL, error_code INTEGER NOT NULL, "
    "error TEXT NOT NULL, error_cause TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL, "
    "phases TEXT NOT NULL);"
    "CREATE INDEX switches_by_alias ON switches(alias, id);"
    "CREATE TABLE proven(version TEXT PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE versions(id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, version TEXT NOT NULL, "
    "origin TEXT NOT NULL, args TEXT NOT NULL, stamp TEXT NOT NULL, sha256 TEXT NOT NULL, notes TEXT NOT "
    "NULL, "
    "added_by TEXT NOT NULL, added INTEGER NOT NULL, UNIQUE(model, version));"
    "CREATE TABLE hashes(path TEXT NOT NULL, stamp TEXT NOT NULL, sha256 TEXT NOT NULL, "
    "PRIMARY KEY(path, stamp)) WITHOUT ROWID;"
    "CREATE TABLE residents(place INTEGER PRIMARY KEY, version TEXT NOT NULL, residency TEXT NOT NULL)",
    "ALTER TABLE aliases ADD COLUMN fallbacks TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE aliases ADD COLUMN split TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE switches ADD COLUMN split TEXT NOT NULL DEFAULT '';"
    "CREATE TABLE canaries(id INTEGER PRIMARY KEY AUTOINCREMENT, alias TEXT NOT NULL, stable TEXT NOT NULL, "
    "canary TEXT NOT NULL, plan TEXT NOT NULL, state TEXT NOT NULL, who TEXT NOT NULL, step INTEGER NOT "
    "NULL, "
    "started INTEGER NOT NULL, ended INTEGER NOT NULL);"
    "CREATE TABLE canary_decisions(id INTEGER PRIMARY KEY AUTOINCREMENT, canary INTEGER NOT NULL, "
    "at INTEGER NOT NULL, move TEXT NOT NULL, reason TEXT NOT NULL, who TEXT NOT NULL, percent TEXT NOT "
    "NULL);"
    "CREATE INDEX canary_decisions_by_canary ON canary_decisions(canary, id)",
    "CREATE TABLE keys(place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, "
    "key_alias TEXT NOT NULL, scopes TEXT NOT NULL, models TEXT NOT NULL, aliases TEXT NOT NULL, "
    "rpm_limit INTEGER NOT NULL, tpm_limit INTEGER NOT NULL, max_parallel_requests INTEGER NOT NULL, "
    "blocked INTEGER NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL, "
    "metadata TEXT NOT NULL);"
    "CREATE UNIQUE INDEX keys_by_hash ON keys(hash) WHERE hash <> '';"
    "CREATE TABLE usage(day TEXT NOT NULL, key_id TEXT NOT NULL, model TEXT NOT NULL, "
    "requests INTEGER NOT NULL, errors INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, "
    "generated_tokens INTEGER NOT NULL, PRIMARY KEY(day, key_id, model)) WITHOUT ROWID",
    // Experiments are told apart by their serial number: an id may be used again after its experiment has
    // gone.
    "CREATE TABLE experiments(serial INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, alias TEXT "
    "NOT "
    "NULL, arms TEXT NOT NULL, hypothesis TEXT NOT NULL, metric TEXT NOT NULL, better TEXT NOT NULL, "
    "guardrails "
    "TEXT NOT NULL, minimum_sample INTEGER NOT NULL, alpha REAL NOT NULL, automatic INTEGER NOT NULL, "
    "segment_by "
    "TEXT NOT NULL, state TEXT NOT NULL, decision TEXT NOT NULL, winner INTEGER NOT NULL, acted INTEGER NOT "
    "NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL);"
    "CREATE TABLE experiment_arms(experiment INTEGER NOT NULL, segment TEXT NOT NULL, arm INTEGER NOT NULL, "
    "assigned INTEGER NOT NULL, requests INTEGER NOT NULL, PRIMARY KEY(experiment, segment, arm)) WITHOUT "
    "ROWID;"
    "CREATE TABLE experiment_moments(experiment INTEGER NOT NULL, segment TEXT NOT NULL, arm INTEGER NOT "
    "NULL, "
    "metric TEXT NOT NULL, count INTEGER NOT NULL, mean REAL NOT NULL, squares REAL NOT NULL, "
    "PRIMARY KEY(experiment, segment, arm, metric)) WITHOUT ROWID;"
    "CREATE TABLE experiment_subjects(experiment INTEGER NOT NULL, subject INTEGER NOT NULL, "
    "PRIMARY KEY(experiment, subject)) WITHOUT ROWID;"
    "CREATE TABLE experiment_trail(experiment INTEGER NOT NULL, arm INTEGER NOT NULL, observations INTEGER "
    "NOT "
    "NULL, estimate REAL NOT NULL, lower REAL, upper REAL, PRIMARY KEY(experiment, arm, observations)) "
    "WITHOUT ROWID;"
    "CREATE TABLE observations(id INTEGER PRIMARY KEY AUTOINCREMENT, experiment INTEGER NOT NULL, arm "
    "INTEGER NOT "
    "NULL, segment TEXT NOT NULL, request_id TEXT NOT NULL, at INTEGER NOT NULL, latency REAL, first_token "
    "REAL, "
    "tokens_per_second REAL, failed REAL, score REAL, converted REAL);"
    "CREATE INDEX observations_by_request ON observations(request_id);"
    "CREATE TABLE feedback(request_id TEXT PRIMARY KEY, at INTEGER NOT NULL, score REAL, converted REAL) "
    "WITHOUT "
    "ROWID;"
    "CREATE INDEX feedback_by_time ON feedback(at);"
    "CREATE TABLE experiment_counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "ALTER TABLE keys ADD COLUMN weight REAL NOT NULL DEFAULT 1",
    "CREATE TABLE shadows(alias TEXT PRIMARY KEY, target TEXT NOT NULL, plan TEXT NOT NULL, figures TEXT NOT "
    "NULL, state TEXT NOT NULL, who TEXT NOT NULL, defined TEXT NOT NULL, started INTEGER NOT NULL, ended "
    "INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE shadow_pairs(id INTEGER PRIMARY KEY AUTOINCREMENT, alias TEXT NOT NULL, at INTEGER NOT "
    "NULL, request_id TEXT NOT NULL, version TEXT NOT NULL, prompt TEXT NOT NULL, reply TEXT NOT NULL, copy "
    "TEXT NOT NULL, similarity TEXT NOT NULL);"
    "CREATE INDEX shadow_pairs_by_alias ON shadow_pairs(alias, id)",
    "CREATE TABLE quarantines(version TEXT PRIMARY KEY, spec TEXT NOT NULL, reason TEXT NOT NULL) WITHOUT "
    "ROWID"};

/// A change is acknowledged only when it would survive a power cut, too.
Database open_state(const std::string& path) {
  Database database = open_or_replace(path, kMigrations);
  if (const Status set = database.execute("PRAGMA synchronous=FULL"); !set)
    telemetry::log_warning("store", "{}", set.error().to_string());
  return database;
}

/// All that `database` holds, as a file of its own.
Status copy_to(Database& database, const std::string& path) {
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  std::filesystem::remove(path, ignored);
  return database.prepare("VACUUM INTO ?").bind(path).run();
}

}  // namespace

/// The file that only one server holds: the lock goes with the process, however that ends.
struct StateDatabase::Lock {
  explicit Lock(const std::string& path) {
    if (path.empty()) return;
    file = open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) {
      telemetry::log_warning("store", "{} cannot be written ({}): nothing is kept over a restart", path,
                             std::generic_category().message(errno));
    } else if (flock(file, LOCK_EX | LOCK_NB) != 0) {
      in_use = true;
      close(std::exchange(file, -1));
      telemetry::log_warning("store",
                             "{} is in use by another server: aliases and history of this one are not kept "
                             "over a restart; give it its own --data-dir",
                             path);
    }
  }
  int file = -1;
  bool in_use = false;
};

StateDatabase::StateDatabase(const std::string& path) : StateDatabase(path, Lock(path)) {}

StateDatabase::StateDatabase(const std::string& path, const Lock& lock)
    : lock_(lock.file), database_(open_state(lock.in_use ? std::string() : path)) {}

void StateDatabase::keep_file() {
  const std::string path = database_.path();
  std::error_code error;
  if (path.empty() || std::filesystem::exists(path, error)) return;
  const std::string copy = path + ".new";
  if (const Status copied = copy_to(database_, copy); !copied) {
    if (!std::exchange(told_, true)) {
      telemetry::log_error("store", "{} was removed while it is in use, and cannot be written anew: {}", path,
                           copied.error().to_string());
    }
    return;
  }
  {
    const Database closed = std::move(database_);
  }
  // What the removed file has left beside it would be taken for the new one's.
  for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(path + suffix, error);
  std::filesystem::rename(copy, path, error);
  database_ = open_state(path);
  told_ = false;
  telemetry::log_warning("store", "{} was removed while it is in use: it is written anew", path);
}

StateDatabase::~StateDatabase() {
  if (lock_ >= 0) close(lock_);
}

}  // namespace switchyard::store
