#include "traffic/alias_table.h"

namespace switchyard::traffic {

std::optional<Position> AliasTable::find(std::string_view name) const {
  const auto table = now();
  const auto found = table->find(name);
  if (found == table->end()) return std::nullopt;
  return found->second;
}

std::vector<Alias> AliasTable::list() const {
  std::vector<Alias> aliases;
  const auto table = now();
  for (const auto& [name, position] : *table) {
    aliases.push_back({name, position.to});
  }
  return aliases;
}

std::shared_ptr<const AliasTable::Positions> AliasTable::now() const {
  const MutexLock lock(mutex_);
  return table_;
}

void AliasTable::set(Positions positions) {
  auto next = std::make_shared<const Positions>(std::move(positions));
  const MutexLock lock(mutex_);
  table_.swap(next);  // the old one ends without the lock, if nobody reads it
}

}  // namespace switchyard::traffic
