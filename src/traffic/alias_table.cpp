#include "traffic/alias_table.h"

namespace switchyard::traffic {

std::optional<Position> AliasTable::find(std::string_view name) const {
  const auto table = table_.load();
  const auto found = table->find(name);
  if (found == table->end()) return std::nullopt;
  return found->second;
}

std::vector<Alias> AliasTable::list() const {
  std::vector<Alias> aliases;
  for (const auto& [name, position] : *table_.load()) {
    aliases.push_back({name, position.to});
  }
  return aliases;
}

void AliasTable::set(Positions positions) {
  table_.store(std::make_shared<const Positions>(std::move(positions)));
}

}  // namespace switchyard::traffic
