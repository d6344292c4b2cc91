#include "store/state_database.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "telemetry/log.h"

namespace switchyard::store {
namespace {

// Versions are written model@version. Times are milliseconds since 1970.
constexpr std::array<std::string_view, 1> kMigrations = {
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
    "CREATE TABLE residents(place INTEGER PRIMARY KEY, version TEXT NOT NULL, residency TEXT NOT NULL)"};

/// The lock goes with the process, however that ends.
int lock_beside(const std::string& path) {
  if (path.empty()) return -1;
  const int file = open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) {
    telemetry::log_warning("store", "{} cannot be written: nothing is kept over a restart", path);
    return -1;
  }
  if (flock(file, LOCK_EX | LOCK_NB) == 0) return file;
  close(file);
  telemetry::log_warning("store",
                         "{} is in use by another server: aliases and history of this one are not kept over "
                         "a restart; give it its own --data-dir",
                         path);
  return -1;
}

}  // namespace

StateDatabase::StateDatabase(const std::string& path)
    : lock_(lock_beside(path)), database_(open_or_replace(lock_ < 0 ? std::string() : path, kMigrations)) {
  // A change is acknowledged only when it would survive a power cut, too.
  if (const Status set = database_.execute("PRAGMA synchronous=FULL"); !set)
    telemetry::log_warning("store", "{}", set.error().to_string());
}

StateDatabase::~StateDatabase() {
  if (lock_ >= 0) close(lock_);
}

}  // namespace switchyard::store
