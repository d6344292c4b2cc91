#include "tenants/usage.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

namespace switchyard::tenants {
namespace {

std::string day_of(WallTime time) {
  const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(time));
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                     static_cast<unsigned>(day.day()));
}

bool is_day(const std::string& text) {
  int year = 0;
  unsigned month = 0, day = 0;
  const auto read = [&](std::size_t at, std::size_t length, auto& into) {
    const char* const end = text.data() + at + length;
    const auto [stopped, error] = std::from_chars(text.data() + at, end, into);
    return error == std::errc() && stopped == end;
  };
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  if (text[0] == '-' || !read(0, 4, year) || !read(5, 2, month) || !read(8, 2, day)) return false;
  return std::chrono::year_month_day(std::chrono::year(year), std::chrono::month(month),
                                     std::chrono::day(day))
      .ok();
}

}  // namespace

void Usage::add(const store::UsageRow& row) {
  store::UsageRow& sum = waiting_[{row.day, row.key_id, row.model}];
  sum.day = row.day;
  sum.key_id = row.key_id;
  sum.model = row.model;
  sum.requests += row.requests;
  sum.errors += row.errors;
  sum.prompt_tokens += row.prompt_tokens;
  sum.generated_tokens += row.generated_tokens;
}

void Usage::note(const Spent& spent) {
  const store::UsageRow row{.key_id = spent.key_id,
                            .model = spent.model,
                            .day = day_of(now_()),
                            .requests = 1,
                            .errors = spent.failed ? 1 : 0,
                            .prompt_tokens = static_cast<std::int64_t>(spent.prompt_tokens),
                            .generated_tokens = static_cast<std::int64_t>(spent.generated_tokens)};
  const MutexLock lock(mutex_);
  add(row);
}

Status Usage::flush() {
  std::map<Place, store::UsageRow> batch;
  {
    const MutexLock lock(mutex_);
    std::swap(batch, waiting_);
  }
  if (batch.empty()) return {};
  std::vector<store::UsageRow> rows;
  for (auto& [place, row] : batch) rows.push_back(std::move(row));
  Status written = store_.add(rows);
  if (!written) {
    const MutexLock lock(mutex_);
    for (const store::UsageRow& row : rows) add(row);
  }
  return written;
}

Result<std::vector<store::UsageRow>> Usage::report(const store::UsageQuery& query) {
  for (const std::string* day : {&query.from, &query.to}) {
    if (day->empty() || is_day(*day)) continue;
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("'{}' is no day; write it as in 2026-01-31 (UTC)", *day));
  }
  if (const Status written = flush(); !written) return std::unexpected(written.error());
  return store_.usage(query);
}

}  // namespace switchyard::tenants
