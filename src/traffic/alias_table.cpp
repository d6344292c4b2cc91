#include "traffic/alias_table.h"

#include <algorithm>

namespace switchyard::traffic {

std::optional<models::VersionRef> AliasTable::find(std::string_view alias) const {
  const auto table = table_.load();
  const auto found = table->find(alias);
  if (found == table->end()) return std::nullopt;
  return found->second;
}

std::vector<Alias> AliasTable::list() const {
  const auto table = table_.load();
  std::vector<Alias> all;
  for (const auto& [name, to] : *table) all.push_back({name, to});
  return all;
}

bool AliasTable::points_at(const models::VersionRef& version) const {
  const auto table = table_.load();
  return std::ranges::any_of(*table, [&](const auto& alias) { return alias.second == version; });
}

Status AliasTable::set_all(const std::vector<Alias>& aliases) {
  auto table = std::make_shared<Table>();
  for (const Alias& alias : aliases) {
    if (alias.name.empty()) return fail(ErrorCode::kInvalidArgument, "an alias has an empty name");
    if (!table->emplace(alias.name, alias.to).second) {
      return fail(ErrorCode::kInvalidArgument, "there are two aliases '" + alias.name + "'");
    }
  }
  const MutexLock lock(writing_);
  table_.store(std::move(table));
  return {};
}

Status AliasTable::add(const Alias& alias) {
  if (alias.name.empty()) return fail(ErrorCode::kInvalidArgument, "an alias has an empty name");
  const MutexLock lock(writing_);
  auto table = std::make_shared<Table>(*table_.load());
  if (!table->emplace(alias.name, alias.to).second) {
    return fail(ErrorCode::kInvalidArgument, "there is an alias '" + alias.name + "' already");
  }
  table_.store(std::move(table));
  return {};
}

Status AliasTable::point(std::string_view alias, const models::VersionRef& to) {
  const MutexLock lock(writing_);
  auto table = std::make_shared<Table>(*table_.load());
  const auto found = table->find(alias);
  if (found == table->end())
    return fail(ErrorCode::kNotFound, "no alias is called '" + std::string(alias) + "'");
  found->second = to;
  table_.store(std::move(table));
  return {};
}

}  // namespace switchyard::traffic
