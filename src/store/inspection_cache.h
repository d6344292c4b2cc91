#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "store/database.h"

namespace switchyard::store {

/// What was learnt of model files, kept over restarts: text by key, the least recently used out first
/// beyond `max_rows`. A cache: nothing in it is needed, so no method fails; what cannot be written is
/// logged once and the cache goes on in memory. Any thread; each call is one short transaction.
class InspectionCache {
 public:
  /// `path` is an SQLite file, made when absent; empty or ":memory:" keeps it in memory. A damaged
  /// file is moved aside (path.corrupt-<unix time>) and a new one begun; so is one of a later schema.
  explicit InspectionCache(const std::string& path, std::size_t max_rows = 10'000);
  ~InspectionCache();
  InspectionCache(const InspectionCache&) = delete;
  InspectionCache& operator=(const InspectionCache&) = delete;

  [[nodiscard]] std::optional<std::string> get(const std::string& key) EXCLUDES(mutex_);
  void put(const std::string& key, const std::string& value) EXCLUDES(mutex_);
  [[nodiscard]] std::size_t size() EXCLUDES(mutex_);

 private:
  void report(const Error& error) REQUIRES(mutex_);
  Status put_row(const std::string& key, const std::string& value) REQUIRES(mutex_);

  const std::size_t max_rows_;
  Mutex mutex_;
  Database database_ GUARDED_BY(mutex_);
  bool reported_ GUARDED_BY(mutex_) = false;
};

}  // namespace switchyard::store
