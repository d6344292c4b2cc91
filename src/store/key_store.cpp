#include "store/key_store.h"

#include <algorithm>
#include <string_view>

#include "store/rows.h"

namespace switchyard::store {
namespace {

constexpr std::int64_t kNone = -1;  // no limit: SQLite's NULL would read as 0

/// One a line: names have no line breaks and no tabs.
std::string join(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    lines.emplace_back(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(lines.back().size() + 1, text.size()));
  }
  return lines;
}

std::string join_pairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::string text;
  for (const auto& [name, value] : pairs) text += name + '\t' + value + '\n';
  return text;
}

std::vector<std::pair<std::string, std::string>> split_pairs(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const std::string& line : split(text)) {
    const std::size_t tab = line.find('\t');
    if (tab != std::string::npos) pairs.emplace_back(line.substr(0, tab), line.substr(tab + 1));
  }
  return pairs;
}

std::optional<std::int64_t> limit_at(const Statement& row, int column) {
  const std::int64_t value = row.integer(column);
  return value == kNone ? std::nullopt : std::optional(value);
}

KeyRow read_row(const Statement& row) {
  return {.id = row.text(0),
          .hash = row.text(1),
          .key_alias = row.text(2),
          .scopes = row.text(3),
          .models = split(row.text(4)),
          .aliases = split_pairs(row.text(5)),
          .rpm_limit = limit_at(row, 6),
          .tpm_limit = limit_at(row, 7),
          .max_parallel_requests = limit_at(row, 8),
          .weight = row.real(14).value_or(1),
          .blocked = row.integer(9) != 0,
          .created = row.integer(10),
          .expires = row.integer(11),
          .revoked = row.integer(12),
          .metadata = row.text(13)};
}

Status put_row(Database& database, const KeyRow& row) {
  Statement put = database.prepare(
      "INSERT INTO keys(id, hash, key_alias, scopes, models, aliases, rpm_limit, tpm_limit, "
      "max_parallel_requests, blocked, created, expires, revoked, metadata, weight) "
      "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT(id) DO UPDATE SET hash = excluded.hash, key_alias = excluded.key_alias, "
      "scopes = excluded.scopes, models = excluded.models, aliases = excluded.aliases, "
      "rpm_limit = excluded.rpm_limit, tpm_limit = excluded.tpm_limit, "
      "max_parallel_requests = excluded.max_parallel_requests, blocked = excluded.blocked, "
      "expires = excluded.expires, revoked = excluded.revoked, metadata = excluded.metadata, "
      "weight = excluded.weight");
  put.bind(row.id).bind(row.hash).bind(row.key_alias).bind(row.scopes);
  put.bind(join(row.models)).bind(join_pairs(row.aliases));
  for (const auto& limit : {row.rpm_limit, row.tpm_limit, row.max_parallel_requests})
    put.bind(limit.value_or(kNone));
  put.bind(std::int64_t{row.blocked}).bind(row.created).bind(row.expires).bind(row.revoked);
  put.bind(row.metadata).bind_real(row.weight);
  return put.run();
}

}  // namespace

Result<std::vector<KeyRow>> KeyStore::keys() {
  return state_.with([](Database& database) -> Result<std::vector<KeyRow>> {
    Statement query = database.prepare(
        "SELECT id, hash, key_alias, scopes, models, aliases, rpm_limit, tpm_limit, max_parallel_requests, "
        "blocked, created, expires, revoked, metadata, weight FROM keys ORDER BY place");
    return all_rows<KeyRow>(query, read_row);
  });
}

Status KeyStore::put(const std::vector<KeyRow>& rows) {
  return state_.change([&](Database& database) -> Status {
    for (const KeyRow& row : rows) {
      if (Status done = put_row(database, row); !done) return done;
    }
    return {};
  });
}

}  // namespace switchyard::store
