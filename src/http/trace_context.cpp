#include "http/trace_context.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdint>

namespace switchyard::http {
namespace {

constexpr std::size_t kLongestId = 128;

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// An id of all zeros means that there is none.
bool is_id(std::string_view text) {
  return is_hex(text) && text.find_first_not_of('0') != std::string_view::npos;
}

std::string random_hex() {
  std::uint64_t number = 0;
  while (number == 0 && ::getrandom(&number, sizeof number, 0) != sizeof number) {
  }
  return fmt::format("{:016x}", number);
}

}  // namespace

std::optional<TraceContext> parse_traceparent(std::string_view header) {
  // version "-" trace "-" parent "-" flags; versions above 00 may have more behind it.
  constexpr std::size_t kLength = 55;
  if (header.size() < kLength || header[2] != '-' || header[35] != '-' || header[52] != '-')
    return std::nullopt;
  const std::string_view version = header.substr(0, 2), trace = header.substr(3, 32),
                         parent = header.substr(36, 16), flags = header.substr(53, 2);
  if (!is_hex(version) || version == "ff" || !is_id(trace) || !is_id(parent) || !is_hex(flags))
    return std::nullopt;
  const bool may_go_on = version != "00" && header.size() > kLength && header[kLength] == '-';
  if (header.size() != kLength && !may_go_on) return std::nullopt;
  return TraceContext{.trace_id = std::string(trace),
                      .span_id = {},
                      .parent_id = std::string(parent),
                      .flags = std::string(flags)};
}

TraceContext begin_span(std::string_view header) {
  TraceContext context = parse_traceparent(header).value_or(TraceContext{});
  if (context.trace_id.empty()) context.trace_id = random_hex() + random_hex();
  context.span_id = random_hex();
  return context;
}

std::string request_id(std::string_view given) {
  const auto is_plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.' || c == ':';
  };
  if (!given.empty() && given.size() <= kLongestId && std::ranges::all_of(given, is_plain))
    return std::string(given);
  return "req_" + random_hex() + random_hex();
}

}  // namespace switchyard::http
