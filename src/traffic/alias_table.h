#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "traffic/types.h"

namespace switchyard::traffic {

/// What one public name means now.
struct Position {
  models::VersionRef to;
  bool is_model = false;  ///< a model's own name, not an alias
  bool ask = false;       ///< requests for it may have to wait: see Switcher::route()
  std::vector<std::string> fallbacks = {};
  std::shared_ptr<const Split> split = {};  ///< null: everybody gets `to`
};

/// What public names mean: an immutable snapshot behind one pointer. A change is one store; readers and
/// it meet for as long as it takes to copy a pointer. (std::atomic<std::shared_ptr> locks inside as well,
/// and libstdc++ 12's has a race.) Any thread.
class AliasTable {
 public:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
  };
  using Positions = std::unordered_map<std::string, Position, Hash, std::equal_to<>>;

  /// Null for a name that means nothing. Keeps the snapshot that it belongs to.
  [[nodiscard]] std::shared_ptr<const Position> find(std::string_view name) const;
  /// In the order of their names; a split's with its arms.
  [[nodiscard]] std::vector<Alias> list() const;
  void set(Positions positions) EXCLUDES(mutex_);

 private:
  [[nodiscard]] std::shared_ptr<const Positions> now() const EXCLUDES(mutex_);

  mutable Mutex mutex_;
  std::shared_ptr<const Positions> table_ GUARDED_BY(mutex_) = std::make_shared<const Positions>();
};

}  // namespace switchyard::traffic
