#include "store/inspection_cache.h"

#include <array>
#include <string_view>

#include "telemetry/log.h"

namespace switchyard::store {
namespace {

// used_at counts uses, so that "least recently" needs no clock.
constexpr std::array<std::string_view, 1> kMigrations = {
    "CREATE TABLE inspections(key TEXT PRIMARY KEY, value TEXT NOT NULL, used_at INTEGER NOT NULL) WITHOUT "
    "ROWID;"
    "CREATE INDEX inspections_by_use ON inspections(used_at)"};

constexpr std::string_view kNextUse = "(SELECT COALESCE(MAX(used_at), 0) + 1 FROM inspections)";

}  // namespace

InspectionCache::InspectionCache(const std::string& path, std::size_t max_rows)
    : max_rows_(max_rows), database_(open_or_replace(path, kMigrations)) {}

InspectionCache::~InspectionCache() = default;

std::optional<std::string> InspectionCache::get(const std::string& key) {
  const MutexLock lock(mutex_);
  Statement touch = database_.prepare(std::string("UPDATE inspections SET used_at = ") +
                                      std::string(kNextUse) + " WHERE key = ? RETURNING value");
  const Result<bool> row = touch.bind(key).step();
  if (!row) {
    report(row.error());
    return std::nullopt;
  }
  if (!*row) return std::nullopt;
  std::string value = touch.text(0);
  if (const Result<bool> end = touch.step(); !end) report(end.error());  // commits the use
  return value;
}

void InspectionCache::put(const std::string& key, const std::string& value) {
  const MutexLock lock(mutex_);
  if (const Status done = put_row(key, value); !done) report(done.error());
}

Status InspectionCache::put_row(const std::string& key, const std::string& value) {
  Statement insert =
      database_.prepare(std::string("INSERT INTO inspections VALUES(?, ?, ") + std::string(kNextUse) +
                        ") ON CONFLICT(key) DO UPDATE SET value = excluded.value, "
                        "used_at = excluded.used_at");
  if (const Status done = insert.bind(key).bind(value).run(); !done) return done;
  Statement trim = database_.prepare(
      "DELETE FROM inspections WHERE key IN (SELECT key FROM inspections ORDER BY used_at LIMIT "
      "MAX(0, (SELECT COUNT(*) FROM inspections) - ?))");
  return trim.bind(static_cast<std::int64_t>(max_rows_)).run();
}

std::size_t InspectionCache::size() {
  const MutexLock lock(mutex_);
  Statement count = database_.prepare("SELECT COUNT(*) FROM inspections");
  const Result<bool> row = count.step();
  return row && *row ? static_cast<std::size_t>(count.integer(0)) : 0;
}

void InspectionCache::report(const Error& error) {
  if (reported_) return;
  reported_ = true;
  telemetry::log_warning("store", "the inspection cache cannot be used: {}", error.to_string());
}

}  // namespace switchyard::store
