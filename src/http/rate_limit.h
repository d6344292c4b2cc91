#pragma once

#include <string>

#include "http/errors.h"
#include "http/server.h"
#include "tenants/limiter.h"

namespace switchyard::http {

/// "120ms", "1s", "6m0s", as in OpenAI's headers; rounded up.
[[nodiscard]] std::string reset_text(Duration duration);

/// OpenAI's `x-ratelimit-*` for the limits that there are.
[[nodiscard]] Headers rate_limit_headers(const tenants::Standing& standing);

/// 429 with these headers and, for the official clients, when to come again: `Retry-After` in whole seconds
/// and `retry-after-ms`.
[[nodiscard]] Response limited_reply(const tenants::Refusal& refusal, Dialect dialect);

}  // namespace switchyard::http
