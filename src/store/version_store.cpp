#include "store/version_store.h"

#include "store/rows.h"

namespace switchyard::store {
namespace {

/// "name\tvalue\n" each; what stands in values is escaped.
std::string join(const std::map<std::string, std::string>& args) {
  std::string text;
  for (const auto& [name, value] : args) {
    text += name + '\t';
    for (const char c : value) {
      if (c == '\\' || c == '\n') text += '\\';
      text += c == '\n' ? 'n' : c;
    }
    text += '\n';
  }
  return text;
}

std::map<std::string, std::string> split(const std::string& text) {
  std::map<std::string, std::string> args;
  std::string name, value;
  bool in_value = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      args[name] = value;
      name.clear();
      value.clear();
      in_value = false;
    } else if (!in_value && c == '\t') {
      in_value = true;
    } else if (!in_value) {
      name += c;
    } else if (c == '\\' && i + 1 < text.size()) {
      const char next = text[++i];
      value += next == 'n' ? '\n' : next;
    } else {
      value += c;
    }
  }
  return args;
}

Status put_row(Database& database, VersionRow& row) {
  if (row.id > 0) {
    return database.prepare("UPDATE versions SET args = ?, stamp = ?, sha256 = ?, notes = ? WHERE id = ?")
        .bind(join(row.args))
        .bind(row.stamp)
        .bind(row.sha256)
        .bind(row.notes)
        .bind(row.id)
        .run();
  }
  Statement insert = database.prepare(
      "INSERT INTO versions(model, version, origin, args, stamp, sha256, notes, added_by, added) "
      "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id");
  insert.bind(row.model).bind(row.version).bind(row.origin).bind(join(row.args)).bind(row.stamp);
  insert.bind(row.sha256).bind(row.notes).bind(row.added_by).bind(row.added);
  const Result<std::int64_t> id = inserted(insert);
  if (!id) return std::unexpected(id.error());
  row.id = *id;
  return {};
}

}  // namespace

Result<std::vector<VersionRow>> VersionStore::versions() {
  return state_.with([](Database& database) -> Result<std::vector<VersionRow>> {
    Statement query = database.prepare(
        "SELECT id, model, version, origin, args, stamp, sha256, notes, added_by, added FROM versions "
        "ORDER BY id");
    return all_rows<VersionRow>(query, [](const Statement& row) {
      return VersionRow{.id = row.integer(0),
                        .model = row.text(1),
                        .version = row.text(2),
                        .origin = row.text(3),
                        .args = split(row.text(4)),
                        .stamp = row.text(5),
                        .sha256 = row.text(6),
                        .notes = row.text(7),
                        .added_by = row.text(8),
                        .added = row.integer(9)};
    });
  });
}

Status VersionStore::put(std::vector<VersionRow>& rows) {
  if (rows.empty()) return {};
  return state_.change([&](Database& database) {
    Status done;
    for (VersionRow& row : rows) {
      if (done) done = put_row(database, row);
    }
    return done;
  });
}

Status VersionStore::remove(std::int64_t id) {
  return state_.change([&](Database& database) {
    return database.prepare("DELETE FROM versions WHERE id = ?").bind(id).run();
  });
}

std::optional<std::string> VersionStore::hash(const std::string& path, const std::string& stamp) {
  return state_.with([&](Database& database) -> std::optional<std::string> {
    Statement query = database.prepare("SELECT sha256 FROM hashes WHERE path = ? AND stamp = ?");
    const Result<bool> row = query.bind(path).bind(stamp).step();
    if (!row || !*row) return std::nullopt;
    return query.text(0);
  });
}

Status VersionStore::put_hash(const std::string& path, const std::string& stamp, const std::string& sha256) {
  return state_.change([&](Database& database) {
    return database.prepare("INSERT OR REPLACE INTO hashes VALUES(?, ?, ?)")
        .bind(path)
        .bind(stamp)
        .bind(sha256)
        .run();
  });
}

}  // namespace switchyard::store
