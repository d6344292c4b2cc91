#include "store/shadow_store.h"

#include "store/rows.h"

namespace switchyard::store {
namespace {

constexpr std::int64_t kMostPairs = 100;

Status put_row(Database& database, const ShadowRow& row) {
  return database
      .prepare(
          "INSERT OR REPLACE INTO shadows(alias, target, plan, figures, state, who, defined, started, ended) "
          "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(row.alias)
      .bind(row.target)
      .bind(row.plan)
      .bind(row.figures)
      .bind(row.state)
      .bind(row.who)
      .bind(row.defined)
      .bind(row.started)
      .bind(row.ended)
      .run();
}

}  // namespace

Result<std::vector<ShadowRow>> ShadowStore::shadows() {
  return state_.with([](Database& database) -> Result<std::vector<ShadowRow>> {
    Statement query = database.prepare(
        "SELECT alias, target, plan, figures, state, who, defined, started, ended FROM shadows ORDER BY "
        "alias");
    return all_rows<ShadowRow>(query, [](const Statement& row) {
      return ShadowRow{.alias = row.text(0),
                       .target = row.text(1),
                       .plan = row.text(2),
                       .figures = row.text(3),
                       .state = row.text(4),
                       .who = row.text(5),
                       .defined = row.text(6),
                       .started = row.integer(7),
                       .ended = row.integer(8)};
    });
  });
}

Status ShadowStore::put(const std::vector<ShadowRow>& rows) {
  return state_.change([&](Database& database) -> Status {
    for (const ShadowRow& row : rows) {
      if (Status kept = put_row(database, row); !kept) return kept;
    }
    return {};
  });
}

Status ShadowStore::put_without_pairs(const ShadowRow& row) {
  return state_.change([&](Database& database) {
    if (Status kept = put_row(database, row); !kept) return kept;
    return database.prepare("DELETE FROM shadow_pairs WHERE alias = ?").bind(row.alias).run();
  });
}

Status ShadowStore::keep(const std::string& alias, const ShadowPairRow& pair) {
  return state_.change([&](Database& database) {
    const Status kept =
        database
            .prepare(
                "INSERT INTO shadow_pairs(alias, at, request_id, version, prompt, reply, copy, "
                "similarity) VALUES(?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(alias)
            .bind(pair.at)
            .bind(pair.request_id)
            .bind(pair.version)
            .bind(pair.prompt)
            .bind(pair.reply)
            .bind(pair.copy)
            .bind(pair.similarity)
            .run();
    if (!kept) return kept;
    return database
        .prepare(
            "DELETE FROM shadow_pairs WHERE alias = ?1 AND id <= (SELECT id FROM shadow_pairs WHERE "
            "alias = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)")
        .bind(alias)
        .bind(kMostPairs)
        .run();
  });
}

Result<std::vector<ShadowPairRow>> ShadowStore::pairs(const std::string& alias) {
  return state_.with([&](Database& database) -> Result<std::vector<ShadowPairRow>> {
    Statement query = database.prepare(
        "SELECT at, request_id, version, prompt, reply, copy, similarity FROM shadow_pairs WHERE alias = ? "
        "ORDER BY id DESC");
    query.bind(alias);
    return all_rows<ShadowPairRow>(query, [](const Statement& row) {
      return ShadowPairRow{.at = row.integer(0),
                           .request_id = row.text(1),
                           .version = row.text(2),
                           .prompt = row.text(3),
                           .reply = row.text(4),
                           .copy = row.text(5),
                           .similarity = row.text(6)};
    });
  });
}

}  // namespace switchyard::store
