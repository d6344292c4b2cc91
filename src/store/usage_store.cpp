#include "store/usage_store.h"

#include "store/rows.h"

namespace switchyard::store {

Status UsageStore::add(const std::vector<UsageRow>& rows) {
  return state_.change([&](Database& database) -> Status {
    for (const UsageRow& row : rows) {
      Status done = database
                        .prepare(
                            "INSERT INTO usage VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                            "requests = requests + excluded.requests, errors = errors + excluded.errors, "
                            "prompt_tokens = prompt_tokens + excluded.prompt_tokens, "
                            "generated_tokens = generated_tokens + excluded.generated_tokens")
                        .bind(row.day)
                        .bind(row.key_id)
                        .bind(row.model)
                        .bind(row.requests)
                        .bind(row.errors)
                        .bind(row.prompt_tokens)
                        .bind(row.generated_tokens)
                        .run();
      if (!done) return done;
    }
    return {};
  });
}

Result<std::vector<UsageRow>> UsageStore::usage(const UsageQuery& query) {
  return state_.with([&](Database& database) -> Result<std::vector<UsageRow>> {
    Statement select = database.prepare(
        "SELECT day, key_id, model, requests, errors, prompt_tokens, generated_tokens FROM usage "
        "WHERE day >= ?1 AND (?2 = '' OR day <= ?2) AND (?3 = '' OR key_id = ?3) "
        "ORDER BY day, key_id, model");
    select.bind(query.from).bind(query.to).bind(query.key_id);
    return all_rows<UsageRow>(select, [](const Statement& row) {
      return UsageRow{.key_id = row.text(1),
                      .model = row.text(2),
                      .day = row.text(0),
                      .requests = row.integer(3),
                      .errors = row.integer(4),
                      .prompt_tokens = row.integer(5),
                      .generated_tokens = row.integer(6)};
    });
  });
}

}  // namespace switchyard::store
