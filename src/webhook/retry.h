#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "switchyard/result.h"

namespace switchyard::webhook {

struct RetryPolicy {
  std::uint32_t retries = 5;                       ///< after the first attempt
  Duration first_pause = std::chrono::seconds(1);  ///< before the first of them; doubles, at most 30 s
};

/// How long a failed attempt waits for the next one. Nothing when there is none: after all retries, or when
/// the receiver says that the request itself is wrong (a status of 400 to 499 but 408 and 429). `attempt`
/// counts from 1; `answer` is its status. Pure.
[[nodiscard]] std::optional<Duration> retry_after(const Result<int>& answer, std::uint32_t attempt,
                                                  const RetryPolicy& policy);

/// 200 to 299.
[[nodiscard]] bool is_taken(const Result<int>& answer);

}  // namespace switchyard::webhook
