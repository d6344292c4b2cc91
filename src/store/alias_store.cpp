#include "store/alias_store.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

#include "store/rows.h"

namespace switchyard::store {
namespace {

constexpr std::int64_t kMostLines = 1000;

/// One a line: "id model@version".
std::string join(const std::vector<PreviousRow>& previous) {
  std::string text;
  for (const PreviousRow& row : previous) text += fmt::format("{} {}\n", row.switch_id, row.version);
  return text;
}

std::vector<PreviousRow> split(std::string_view text) {
  std::vector<PreviousRow> previous;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t blank = line.find(' ');
    if (blank == std::string_view::npos) continue;
    PreviousRow row{.version = std::string(line.substr(blank + 1))};
    std::from_chars(line.data(), line.data() + blank, row.switch_id);
    previous.push_back(std::move(row));
  }
  return previous;
}

/// One a line: names have no line breaks.
std::string join_lines(const std::vector<std::string>& lines) {
  return fmt::format("{}", fmt::join(lines, "\n"));
}

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    lines.emplace_back(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(lines.back().size() + 1, text.size()));
  }
  return lines;
}

Status put_row(Database& database, const AliasRow& row) {
  return database.prepare("INSERT OR REPLACE INTO aliases VALUES(?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(row.name)
      .bind(row.kind)
      .bind(row.target)
      .bind(row.defined)
      .bind(row.considered)
      .bind(join(row.previous))
      .bind(join_lines(row.fallbacks))
      .bind(row.split)
      .run();
}

Status update_row(Database& database, const SwitchRow& row) {
  return database
      .prepare(
          "UPDATE switches SET source = ?, target = ?, outcome = ?, phase = ?, error_code = ?, error = ?, "
          "error_cause = ?, ended = ?, phases = ? WHERE id = ?")
      .bind(row.source)
      .bind(row.target)
      .bind(row.outcome)
      .bind(row.phase)
      .bind(row.error_code)
      .bind(row.error)
      .bind(row.error_cause)
      .bind(row.ended)
      .bind(row.phases)
      .bind(row.id)
      .run();
}

Result<std::int64_t> insert_row(Database& database, const SwitchRow& row) {
  Statement insert = database.prepare(
      "INSERT INTO switches(alias, kind, who, why, source, target, policy, keep_old, outcome, phase, "
      "error_code, error, error_cause, started, ended, phases, split) "
      "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id");
  for (const std::string* text : {&row.alias, &row.kind, &row.who, &row.why, &row.source, &row.target,
                                  &row.policy, &row.keep_old, &row.outcome, &row.phase}) {
    insert.bind(*text);
  }
  insert.bind(row.error_code).bind(row.error).bind(row.error_cause);
  insert.bind(row.started).bind(row.ended).bind(row.phases).bind(row.split);
  return inserted(insert);
}

}  // namespace

Result<std::vector<AliasRow>> AliasStore::aliases() {
  return state_.with([](Database& database) {
    Statement query = database.prepare(
        "SELECT name, kind, target, defined, considered, previous, fallbacks, split FROM aliases ORDER BY "
        "name");
    return all_rows<AliasRow>(query, [](const Statement& row) {
      return AliasRow{.name = row.text(0),
                      .kind = row.text(1),
                      .target = row.text(2),
                      .defined = row.text(3),
                      .considered = row.text(4),
                      .previous = split(row.text(5)),
                      .fallbacks = split_lines(row.text(6)),
                      .split = row.text(7)};
    });
  });
}

Status AliasStore::put(const AliasRow& row) {
  return state_.change([&](Database& database) { return put_row(database, row); });
}

Status AliasStore::remove(const std::string& name) {
  return state_.change([&](Database& database) {
    return database.prepare("DELETE FROM aliases WHERE name = ?").bind(name).run();
  });
}

Result<std::int64_t> AliasStore::begin(const SwitchRow& row) {
  Result<std::int64_t> id = 0;
  const Status done = state_.change([&](Database& database) -> Status {
    id = insert_row(database, row);
    if (!id) return std::unexpected(id.error());
    return database
        .prepare(
            "DELETE FROM switches WHERE alias = ?1 AND id <= (SELECT id FROM switches WHERE alias = ?1 "
            "ORDER BY id DESC LIMIT 1 OFFSET ?2)")
        .bind(row.alias)
        .bind(kMostLines)
        .run();
  });
  if (!done) return std::unexpected(done.error());
  return id;
}

Status AliasStore::update(const SwitchRow& row) {
  return state_.change([&](Database& database) { return update_row(database, row); });
}

Status AliasStore::move(const AliasRow& alias, const SwitchRow& row, std::int64_t undone) {
  return state_.change([&](Database& database) {
    Status done = put_row(database, alias);
    if (done) done = update_row(database, row);
    if (done && undone > 0) {
      done = database.prepare("UPDATE switches SET outcome = 'rolled_back' WHERE id = ?").bind(undone).run();
    }
    return done;
  });
}

Result<std::vector<SwitchRow>> AliasStore::history(const std::string& alias, std::size_t limit) {
  return state_.with([&](Database& database) {
    Statement query = database.prepare(
        "SELECT id, alias, kind, who, why, source, target, policy, keep_old, outcome, phase, error_code, "
        "error, error_cause, started, ended, phases, split FROM switches WHERE alias = ? ORDER BY id DESC "
        "LIMIT ?");
    query.bind(alias).bind(static_cast<std::int64_t>(limit));
    return all_rows<SwitchRow>(query, [](const Statement& row) {
      return SwitchRow{.id = row.integer(0),
                       .alias = row.text(1),
                       .kind = row.text(2),
                       .who = row.text(3),
                       .why = row.text(4),
                       .source = row.text(5),
                       .target = row.text(6),
                       .policy = row.text(7),
                       .keep_old = row.text(8),
                       .outcome = row.text(9),
                       .phase = row.text(10),
                       .error_code = row.integer(11),
                       .error = row.text(12),
                       .error_cause = row.text(13),
                       .started = row.integer(14),
                       .ended = row.integer(15),
                       .phases = row.text(16),
                       .split = row.text(17)};
    });
  });
}

Status AliasStore::end_interrupted(std::int64_t now) {
  return state_.change([&](Database& database) {
    return database
        .prepare(
            "UPDATE switches SET outcome = 'failed', error_code = ?, ended = ?, error = 'the server ended "
            "before this switch did' WHERE outcome = 'running'")
        .bind(static_cast<std::int64_t>(ErrorCode::kUnavailable))
        .bind(now)
        .run();
  });
}

Result<std::vector<std::string>> AliasStore::proven() {
  return state_.with([](Database& database) {
    Statement query = database.prepare("SELECT version FROM proven ORDER BY version");
    return all_rows<std::string>(query, [](const Statement& row) { return row.text(0); });
  });
}

Status AliasStore::prove(const std::string& version) {
  return state_.change([&](Database& database) {
    return database.prepare("INSERT OR IGNORE INTO proven VALUES(?)").bind(version).run();
  });
}

}  // namespace switchyard::store
