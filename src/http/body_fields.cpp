#include "http/body_fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "http/errors.h"

namespace switchyard::http {
namespace {

constexpr double kMostSeconds = 365.0 * 24 * 3600;

std::unexpected<Error> wrong(const char* key, const char* what) {
  return fail(ErrorCode::kInvalidArgument, "'" + std::string(key) + "' must be " + what);
}

/// Seconds of one unit; zero for a word that is none.
double unit_seconds(std::string_view unit) {
  if (unit == "ms") return 1e-3;
  if (unit == "s") return 1;
  if (unit == "m") return 60;
  if (unit == "h") return 3600;
  if (unit == "d") return 24 * 3600;
  return 0;
}

std::optional<double> parse_seconds(std::string_view text) {
  if (text == "0") return 0;
  double sum = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || value < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const std::size_t length = std::min(text.find_first_of("0123456789."), text.size());
    const double unit = unit_seconds(text.substr(0, length));
    if (unit == 0) return std::nullopt;
    text.remove_prefix(length);
    sum += value * unit;
  }
  return sum;
}

std::optional<Duration> to_duration(std::optional<double> seconds) {
  if (!seconds || !std::isfinite(*seconds) || *seconds < 0 || *seconds > kMostSeconds) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*seconds));
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) { return to_duration(parse_seconds(text)); }

Result<Json> read_body(const RouteCall& call, std::initializer_list<std::string_view> keys) {
  if (call.request().body.empty()) return Json::object();
  auto body = parse_object(call.request().body);
  if (!body) return body;
  for (const auto& [key, value] : body->items()) {
    if (std::ranges::find(keys, key) == keys.end()) {
      return fail(ErrorCode::kInvalidArgument, "unknown key '" + key + "' in the request body");
    }
  }
  return body;
}

Result<Wait> read_wait(const Json& body) {
  const auto wait = read_flag(body, "wait", true);
  if (!wait) return std::unexpected(wait.error());
  return *wait ? Wait::kYes : Wait::kNo;
}

Result<bool> read_flag(const Json& body, const char* key, bool otherwise) {
  const auto it = body.find(key);
  if (it == body.end()) return otherwise;
  if (!it->is_boolean()) return wrong(key, "true or false");
  return it->get<bool>();
}

Result<std::optional<std::string>> read_text(const Json& body, const char* key) {
  const auto it = body.find(key);
  if (it == body.end()) return std::optional<std::string>();
  if (!it->is_string()) return wrong(key, "text");
  return std::optional(it->get<std::string>());
}

Result<std::string> read_target(const Json& body) {
  const auto to = read_text(body, "to");
  if (!to) return std::unexpected(to.error());
  if (!*to || (*to)->empty()) {
    return fail(ErrorCode::kInvalidArgument, "'to' must name a version, as in \"model@2\"");
  }
  return **to;
}

Result<std::optional<double>> read_number(const Json& body, const char* key) {
  const auto it = body.find(key);
  if (it == body.end()) return std::optional<double>();
  if (!it->is_number() || !std::isfinite(it->get<double>())) return wrong(key, "a number");
  return std::optional(it->get<double>());
}

Result<std::optional<std::vector<std::string>>> read_texts(const Json& body, const char* key) {
  const auto it = body.find(key);
  if (it == body.end()) return std::optional<std::vector<std::string>>();
  if (!it->is_array() || !std::ranges::all_of(*it, [](const Json& item) { return item.is_string(); }))
    return wrong(key, "a list of texts");
  return std::optional(it->get<std::vector<std::string>>());
}

Result<std::optional<Duration>> read_duration(const Json& body, const char* key) {
  const auto it = body.find(key);
  if (it == body.end()) return std::optional<Duration>();
  std::optional<Duration> duration;
  if (it->is_number()) duration = to_duration(it->get<double>());
  if (it->is_string()) duration = parse_duration(it->get_ref<const std::string&>());
  if (!duration) return wrong(key, "a duration such as \"30s\", \"500ms\" or \"1m30s\", a year at most");
  return duration;
}

}  // namespace switchyard::http
