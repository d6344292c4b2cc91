#include "store/quarantine_store.h"

#include "store/rows.h"

namespace switchyard::store {

Result<std::vector<QuarantineRow>> QuarantineStore::quarantines() {
  return state_.with([](Database& database) -> Result<std::vector<QuarantineRow>> {
    Statement query = database.prepare("SELECT version, spec, reason FROM quarantines ORDER BY version");
    return all_rows<QuarantineRow>(query, [](const Statement& row) {
      return QuarantineRow{.version = row.text(0), .spec = row.text(1), .reason = row.text(2)};
    });
  });
}

Status QuarantineStore::put(const std::vector<QuarantineRow>& rows) {
  return state_.change([&](Database& database) {
    Status done = database.execute("DELETE FROM quarantines");
    for (const QuarantineRow& row : rows) {
      if (!done) break;
      done = database.prepare("INSERT INTO quarantines(version, spec, reason) VALUES(?, ?, ?)")
                 .bind(row.version)
                 .bind(row.spec)
                 .bind(row.reason)
                 .run();
    }
    return done;
  });
}

}  // namespace switchyard::store
