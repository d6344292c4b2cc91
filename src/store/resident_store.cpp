#include "store/resident_store.h"

namespace switchyard::store {

Result<std::vector<ResidentRow>> ResidentStore::residents() {
  return state_.with([](Database& database) -> Result<std::vector<ResidentRow>> {
    std::vector<ResidentRow> rows;
    Statement query = database.prepare("SELECT version, residency FROM residents ORDER BY place");
    for (;;) {
      const Result<bool> more = query.step();
      if (!more) return std::unexpected(more.error());
      if (!*more) return rows;
      rows.push_back({query.text(0), query.text(1)});
    }
  });
}

Status ResidentStore::put(const std::vector<ResidentRow>& rows) {
  return state_.change([&](Database& database) {
    Status done = database.execute("DELETE FROM residents");
    for (const ResidentRow& row : rows) {
      if (!done) break;
      done = database.prepare("INSERT INTO residents(version, residency) VALUES(?, ?)")
                 .bind(row.version)
                 .bind(row.residency)
                 .run();
    }
    return done;
  });
}

}  // namespace switchyard::store
