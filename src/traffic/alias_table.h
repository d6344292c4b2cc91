#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "models/manager.h"

namespace switchyard::traffic {

/// A public name and the version it points at.
struct Alias {
  std::string name;
  models::VersionRef to;
  bool operator==(const Alias&) const = default;
};

/// What public names mean: an immutable snapshot behind one atomic pointer. Readers never wait for a
/// change, a change is one store. Any thread.
class AliasTable {
 public:
  /// The version of `alias`, or nothing when there is no such alias.
  [[nodiscard]] std::optional<models::VersionRef> find(std::string_view alias) const;
  /// In the order of their names.
  [[nodiscard]] std::vector<Alias> list() const;
  /// Whether any alias points at `version`.
  [[nodiscard]] bool points_at(const models::VersionRef& version) const;

  /// Replaces all of them. Errors: kInvalidArgument for an empty or doubled name; nothing has changed then.
  Status set_all(const std::vector<Alias>& aliases);
  /// Adds one. Errors: kInvalidArgument for an empty name or one that is there.
  Status add(const Alias& alias);
  /// Points an alias that exists somewhere else. Errors: kNotFound.
  Status point(std::string_view alias, const models::VersionRef& to);

 private:
  using Table = std::map<std::string, models::VersionRef, std::less<>>;
  std::atomic<std::shared_ptr<const Table>> table_ = std::make_shared<const Table>();
  Mutex writing_;  // one change at a time
};

}  // namespace switchyard::traffic
