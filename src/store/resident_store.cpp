#include "store/resident_store.h"

#include "store/rows.h"

namespace switchyard::store {

Result<std::vector<ResidentRow>> ResidentStore::residents() {
  return state_.with([](Database& database) -> Result<std::vector<ResidentRow>> {
    Statement query = database.prepare("SELECT version, residency FROM residents ORDER BY place");
    return all_rows<ResidentRow>(query,
                                 [](const Statement& row) { return ResidentRow{row.text(0), row.text(1)}; });
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
