#include "webhook/retry.h"

#include <algorithm>

namespace switchyard::webhook {
namespace {

constexpr Duration kMost = std::chrono::seconds(30);

bool is_refused(const Result<int>& answer) {
  return answer && *answer >= 400 && *answer < 500 && *answer != 408 && *answer != 429;
}

}  // namespace

bool is_taken(const Result<int>& answer) { return answer && *answer >= 200 && *answer < 300; }

std::optional<Duration> retry_after(const Result<int>& answer, std::uint32_t attempt,
                                    const RetryPolicy& policy) {
  if (attempt > policy.retries || is_refused(answer)) return std::nullopt;
  return std::min<Duration>(policy.first_pause * (1LL << std::min(attempt - 1, 10U)), kMost);
}

}  // namespace switchyard::webhook
