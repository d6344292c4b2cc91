#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "traffic/types.h"

namespace switchyard::traffic {

/// What one public name means now.
struct Position {
  models::VersionRef to;
  bool is_model = false;  ///< a model's own name, not an alias
  bool ask = false;       ///< requests for it may have to wait: see Switcher::route()
  bool operator==(const Position&) const = default;
};

/// What public names mean: an immutable snapshot behind one atomic pointer. Readers never wait for a
/// change, a change is one store. Readers: any thread; set(): one thread at a time.
class AliasTable {
 public:
  using Positions = std::map<std::string, Position, std::less<>>;

  [[nodiscard]] std::optional<Position> find(std::string_view name) const;
  /// In the order of their names.
  [[nodiscard]] std::vector<Alias> list() const;
  void set(Positions positions);

 private:
  std::atomic<std::shared_ptr<const Positions>> table_ = std::make_shared<const Positions>();
};

}  // namespace switchyard::traffic
