#include "traffic/alias_table.h"

#include <algorithm>
#include <utility>

namespace switchyard::traffic {

std::shared_ptr<const Position> AliasTable::find(std::string_view name) const {
  auto table = now();
  const auto found = table->find(name);
  if (found == table->end()) return nullptr;
  return {std::move(table), &found->second};
}

std::vector<Alias> AliasTable::list() const {
  std::vector<Alias> aliases;
  const auto table = now();
  for (const auto& [name, position] : *table) {
    Alias& alias = aliases.emplace_back(Alias{.name = name, .to = position.to});
    if (position.split != nullptr) alias.split = position.split->arms;
  }
  std::ranges::sort(aliases, {}, &Alias::name);
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
