#include "http/rate_limit.h"

#include <fmt/format.h>

#include <algorithm>

namespace switchyard::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

void add(Headers& headers, std::string_view what, const std::optional<tenants::Standing::OfOne>& standing) {
  if (!standing) return;
  headers[fmt::format("x-ratelimit-limit-{}", what)] = std::to_string(standing->limit);
  headers[fmt::format("x-ratelimit-remaining-{}", what)] = std::to_string(standing->remaining);
  headers[fmt::format("x-ratelimit-reset-{}", what)] = reset_text(standing->reset);
}

}  // namespace

std::string reset_text(Duration duration) {
  if (duration < seconds(1)) {
    const auto ms = std::chrono::ceil<milliseconds>(duration).count();
    return ms < 1000 ? fmt::format("{}ms", ms) : "1s";
  }
  const auto whole = std::chrono::ceil<seconds>(duration).count();
  return whole < 60 ? fmt::format("{}s", whole) : fmt::format("{}m{}s", whole / 60, whole % 60);
}

Headers rate_limit_headers(const tenants::Standing& standing) {
  Headers headers;
  add(headers, "requests", standing.requests);
  add(headers, "tokens", standing.tokens);
  return headers;
}

Response limited_reply(const tenants::Refusal& refusal, Dialect dialect) {
  Response reply = error_reply(refusal.error, dialect);
  reply.headers.merge(rate_limit_headers(refusal.standing));
  const auto wait = std::max<Duration>(refusal.retry_after, milliseconds(1));
  reply.headers["Retry-After"] = std::to_string(std::chrono::ceil<seconds>(wait).count());
  reply.headers["retry-after-ms"] = std::to_string(std::chrono::ceil<milliseconds>(wait).count());
  return reply;
}

}  // namespace switchyard::http
