#include "http/request_timeout.h"

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

#include "http/body_fields.h"

namespace switchyard::http {
namespace {

/// A plain number of seconds above zero, a day at most.
std::optional<Duration> plain_seconds(std::string_view text) {
  constexpr double kMost = 24.0 * 3600;
  double seconds = 0;
  const char* const text_end = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), text_end, seconds);
  if (error != std::errc() || end != text_end || !(seconds > 0) || seconds > kMost) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

Result<std::optional<Duration>> request_timeout(const Headers& headers) {
  if (const auto asked = headers.find("x-request-timeout"); asked != headers.end()) {
    if (auto seconds = plain_seconds(asked->second)) return seconds;
    auto time = parse_duration(asked->second);
    if (time && *time > Duration::zero()) return time;
    return fail(ErrorCode::kInvalidArgument,
                "the header x-request-timeout must be a time above 0 such as \"30\" (seconds) or \"1m30s\"");
  }
  // Python's clients send the read timeout, those in other languages the whole one; "not_given" is no number.
  for (const char* name : {"x-stainless-read-timeout", "x-stainless-timeout"}) {
    if (const auto sent = headers.find(name); sent != headers.end()) return plain_seconds(sent->second);
  }
  return std::optional<Duration>();
}

}  // namespace switchyard::http
