#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "traffic/types.h"

namespace switchyard::traffic {

/// What one public name means now.
struct Position {
  models::VersionRef to;
  bool is_model = false;  ///< a model's own name, not an alias
  bool ask = false;       ///< requests for it may have to wait: see Switcher::route()
  bool operator==(const Position&) const = default;
};

/// What public names mean: an immutable snapshot behind one pointer. A change is one store; readers and
/// it meet for as long as it takes to copy a pointer. (std::atomic<std::shared_ptr> locks inside as well,
/// and libstdc++ 12's has a race.) Any thread.
class AliasTable {
 public:
  using Positions = std::map<std::string, Position, std::less<>>;

  [[nodiscard]] std::optional<Position> find(std::string_view name) const;
  /// In the order of their names.
  [[nodiscard]] std::vector<Alias> list() const;
  void set(Positions positions) EXCLUDES(mutex_);

 private:
  [[nodiscard]] std::shared_ptr<const Positions> now() const EXCLUDES(mutex_);

  mutable Mutex mutex_;
  std::shared_ptr<const Positions> table_ GUARDED_BY(mutex_) = std::make_shared<const Positions>();
};

}  // namespace switchyard::traffic
