#pragma once

#include <cstdint>
#include <vector>

#include "store/database.h"

// What statements give, row by row. Errors of all: those of Statement::step().

namespace switchyard::store {

/// Calls `take(const Statement&)` with each row.
template <typename Take>
[[nodiscard]] Status for_each_row(Statement& query, Take take) {
  for (;;) {
    const Result<bool> more = query.step();
    if (!more) return std::unexpected(more.error());
    if (!*more) return {};
    take(query);
  }
}

/// What `read(const Statement&)` makes of each row.
template <typename Row, typename Read>
[[nodiscard]] Result<std::vector<Row>> all_rows(Statement& query, Read read) {
  std::vector<Row> rows;
  if (const Status done = for_each_row(query, [&](const Statement& row) { rows.push_back(read(row)); });
      !done)
    return std::unexpected(done.error());
  return rows;
}

/// Runs an INSERT ... RETURNING of one number.
[[nodiscard]] inline Result<std::int64_t> inserted(Statement& insert) {
  std::int64_t id = 0;
  if (const Status done = for_each_row(insert, [&](const Statement& row) { id = row.integer(0); }); !done)
    return std::unexpected(done.error());
  return id;
}

}  // namespace switchyard::store
