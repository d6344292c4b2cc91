#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/mutex.h"
#include "store/usage_store.h"
#include "tenants/key.h"

namespace switchyard::tenants {

/// One request of a key, once it is over.
struct Spent {
  std::string key_id;
  std::string model;
  bool failed = false;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t generated_tokens = 0;
};

/// What keys have used, per model and day (UTC). note() adds up in memory and never waits for the disk;
/// flush(), to be called every second, writes. A kill loses what came since the last one. Any thread.
class Usage {
 public:
  using Now = std::function<WallTime()>;
  Usage(store::UsageStore store, Now now) : store_(store), now_(std::move(now)) {}

  void note(const Spent& spent) EXCLUDES(mutex_);
  /// Blocks. On an error everything is kept for the next time. Errors: the store's.
  [[nodiscard]] Status flush() EXCLUDES(mutex_);
  /// What is on disk, after a flush(). Blocks. Errors: kInvalidArgument for a day that is none, the store's.
  [[nodiscard]] Result<std::vector<store::UsageRow>> report(const store::UsageQuery& query) EXCLUDES(mutex_);

 private:
  using Place = std::tuple<std::string, std::string, std::string>;  // day, key, model
  void add(const store::UsageRow& row) REQUIRES(mutex_);

  store::UsageStore store_;
  const Now now_;
  Mutex mutex_;
  std::map<Place, store::UsageRow> waiting_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::tenants
