#include "http/front/target.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace switchyard::http {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The byte that the escape at `at` stands for; nothing when it is broken.
std::optional<char> escaped_byte(std::string_view text, std::size_t at) {
  if (at + 2 >= text.size()) return std::nullopt;
  const int high = hex_value(text[at + 1]);
  const int low = hex_value(text[at + 2]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

std::string decode_query_part(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (const auto byte = text[i] == '%' ? escaped_byte(text, i) : std::nullopt; byte.has_value()) {
      out += *byte;
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// "http://host:1/p?q" -> "/p?q"; anything else as it is.
std::string_view without_authority(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    const auto end = target.find_first_of("/?", scheme.size());
    if (end == std::string_view::npos) return "/";
    return target.substr(end);
  }
  return target;
}

}  // namespace

Result<std::string> decode_percent(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const auto byte = escaped_byte(text, i);
    if (!byte)
      return fail(ErrorCode::kInvalidArgument, "the path holds a '%' without two hexadecimal digits");
    out += *byte;
    i += 2;
  }
  return out;
}

std::multimap<std::string, std::string> parse_query(std::string_view query) {
  std::multimap<std::string, std::string> out;
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const auto pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const auto equals = std::min(pair.find('='), pair.size());
    if (equals == 0) continue;
    out.emplace(decode_query_part(pair.substr(0, equals)),
                equals < pair.size() ? decode_query_part(pair.substr(equals + 1)) : std::string());
  }
  return out;
}

Result<Target> parse_target(std::string_view target) {
  if (has_control(target))
    return fail(ErrorCode::kInvalidArgument, "the request target holds a control character");
  target = without_authority(target.substr(0, target.find('#')));
  Target out;
  const auto question = target.find('?');
  out.raw_path = target.substr(0, question);
  if (question != std::string_view::npos) out.raw_query = target.substr(question + 1);
  if (question == 0) out.raw_path.assign(1, '/');  // "http://host?query"
  if (out.raw_path != "*" && !out.raw_path.starts_with('/')) {
    return fail(ErrorCode::kInvalidArgument, "the request target must start with '/'");
  }
  auto path = decode_percent(out.raw_path);
  if (!path) return std::unexpected(path.error());
  if (has_control(*path)) return fail(ErrorCode::kInvalidArgument, "the path holds a control character");
  out.path = std::move(*path);
  out.query = parse_query(out.raw_query);
  for (const auto& [name, value] : out.query) {
    if (name.find('\0') != std::string::npos || value.find('\0') != std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "the query holds a NUL character");
    }
  }
  return out;
}

}  // namespace switchyard::http
