#include "store/canary_store.h"

#include "store/rows.h"

namespace switchyard::store {
namespace {

constexpr std::int64_t kMostOfAnAlias = 100;
constexpr std::int64_t kMostDecisions = 1000;

Status insert(Database& database, CanaryRow& row) {
  Statement insert = database.prepare(
      "INSERT INTO canaries(alias, stable, canary, plan, state, who, step, started, ended) "
      "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id");
  insert.bind(row.alias).bind(row.stable).bind(row.canary).bind(row.plan).bind(row.state).bind(row.who);
  insert.bind(row.step).bind(row.started).bind(row.ended);
  const Result<std::int64_t> id = inserted(insert);
  if (!id) return std::unexpected(id.error());
  row.id = *id;
  Status gone = database
                    .prepare(
                        "DELETE FROM canaries WHERE alias = ?1 AND id <= (SELECT id FROM canaries WHERE "
                        "alias = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)")
                    .bind(row.alias)
                    .bind(kMostOfAnAlias)
                    .run();
  if (gone)
    gone = database.execute("DELETE FROM canary_decisions WHERE canary NOT IN (SELECT id FROM canaries)");
  return gone;
}

Status update(Database& database, const CanaryRow& row) {
  return database.prepare("UPDATE canaries SET state = ?, step = ?, ended = ? WHERE id = ?")
      .bind(row.state)
      .bind(row.step)
      .bind(row.ended)
      .bind(row.id)
      .run();
}

}  // namespace

Result<std::vector<CanaryRow>> CanaryStore::newest() {
  return state_.with([](Database& database) -> Result<std::vector<CanaryRow>> {
    Statement query = database.prepare(
        "SELECT id, alias, stable, canary, plan, state, who, step, started, ended FROM canaries WHERE id IN "
        "(SELECT max(id) FROM canaries GROUP BY alias) ORDER BY alias");
    return all_rows<CanaryRow>(query, [](const Statement& row) {
      return CanaryRow{.id = row.integer(0),
                       .alias = row.text(1),
                       .stable = row.text(2),
                       .canary = row.text(3),
                       .plan = row.text(4),
                       .state = row.text(5),
                       .who = row.text(6),
                       .step = row.integer(7),
                       .started = row.integer(8),
                       .ended = row.integer(9)};
    });
  });
}

Status CanaryStore::put(CanaryRow& row, const CanaryDecisionRow& decision) {
  return state_.change([&](Database& database) {
    if (const Status kept = row.id == 0 ? insert(database, row) : update(database, row); !kept) return kept;
    return database
        .prepare(
            "INSERT INTO canary_decisions(canary, at, move, reason, who, percent) VALUES(?, ?, ?, ?, ?, ?)")
        .bind(row.id)
        .bind(decision.at)
        .bind(decision.move)
        .bind(decision.reason)
        .bind(decision.who)
        .bind(std::to_string(decision.percent))
        .run();
  });
}

Result<std::vector<CanaryDecisionRow>> CanaryStore::decisions(std::int64_t canary) {
  return state_.with([&](Database& database) -> Result<std::vector<CanaryDecisionRow>> {
    Statement query = database.prepare(
        "SELECT at, move, reason, who, percent FROM canary_decisions WHERE canary = ? ORDER BY id DESC LIMIT "
        "?");
    query.bind(canary).bind(kMostDecisions);
    return all_rows<CanaryDecisionRow>(query, [](const Statement& row) {
      return CanaryDecisionRow{.at = row.integer(0),
                               .move = row.text(1),
                               .reason = row.text(2),
                               .who = row.text(3),
                               .percent = std::stod(row.text(4))};
    });
  });
}

}  // namespace switchyard::store
