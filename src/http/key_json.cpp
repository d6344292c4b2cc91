#include "http/key_json.h"

#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "http/body_fields.h"
#include "http/time_text.h"

namespace switchyard::http {
namespace {

constexpr std::array kColumns = {"day",    "token_id",      "key_alias",        "model",       "requests",
                                 "errors", "prompt_tokens", "generated_tokens", "total_tokens"};

std::unexpected<Error> wrong(const char* key, const char* what) {
  return fail(ErrorCode::kInvalidArgument, "'" + std::string(key) + "' must be " + what);
}

Json limit_json(std::optional<std::uint64_t> limit) { return limit ? Json(*limit) : Json(nullptr); }

Json time_json(const std::optional<tenants::WallTime>& time) {
  return time ? Json(time_text(*time)) : Json(nullptr);
}

/// "2026-01-31T12:00:00Z", with or without parts of a second.
std::optional<tenants::WallTime> parse_time(std::string_view text) {
  constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:dd";
  if (text.size() <= kForm.size() || text.back() != 'Z') return std::nullopt;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kForm[i] == 'd' ? !digit : text[i] != kForm[i]) return std::nullopt;
  }
  const std::string_view rest = text.substr(kForm.size(), text.size() - kForm.size() - 1);
  if (!rest.empty() && (rest[0] != '.' || rest.find_first_not_of("0123456789", 1) != std::string_view::npos))
    return std::nullopt;
  const auto number = [&](std::size_t at, std::size_t length) {
    int value = 0;
    std::from_chars(text.data() + at, text.data() + at + length, value);
    return value;
  };
  const std::chrono::year_month_day day(std::chrono::year(number(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(number(8, 2))));
  const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!day.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  return std::chrono::sys_days(day) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

/// Empty: not named; an empty optional inside: null.
Result<std::optional<std::optional<std::uint64_t>>> read_limit(const Json& body, const char* key) {
  using Limit = std::optional<std::optional<std::uint64_t>>;
  const auto it = body.find(key);
  if (it == body.end()) return Limit();
  if (it->is_null()) return Limit(std::in_place);
  if (!it->is_number_unsigned()) return wrong(key, "a whole number above 0, or null for no limit");
  return Limit(std::in_place, it->get<std::uint64_t>());
}

Status read_limits(const Json& body, tenants::KeyChange& change) {
  for (const auto& [key, into] : {std::pair{"rpm_limit", &change.rpm},
                                  {"tpm_limit", &change.tpm},
                                  {"max_parallel_requests", &change.parallel}}) {
    auto limit = read_limit(body, key);
    if (!limit) return std::unexpected(limit.error());
    *into = *limit;
  }
  return {};
}

Status read_expiry(const Json& body, tenants::WallTime now, tenants::KeyChange& change) {
  const auto duration = body.find("duration"), expires = body.find("expires");
  if (duration != body.end() && expires != body.end())
    return fail(ErrorCode::kInvalidArgument, "'duration' and 'expires' say the same: give one of them");
  if ((duration != body.end() && duration->is_null()) || (expires != body.end() && expires->is_null())) {
    change.expires.emplace();
  } else if (duration != body.end()) {
    const auto length = read_duration(body, "duration");
    if (!length) return std::unexpected(length.error());
    if (**length <= Duration::zero()) return wrong("duration", "above 0");
    change.expires.emplace(now + std::chrono::ceil<std::chrono::milliseconds>(**length));
  } else if (expires != body.end()) {
    const auto time = expires->is_string() ? parse_time(expires->get<std::string>()) : std::nullopt;
    if (!time) return wrong("expires", "a time such as \"2026-01-31T12:00:00Z\", or null for never");
    change.expires.emplace(time);
  }
  return {};
}

Status read_names(const Json& body, tenants::KeyChange& change) {
  if (const auto alias = body.find("key_alias"); alias != body.end()) {
    if (!alias->is_string() && !alias->is_null()) return wrong("key_alias", "text");
    change.key_alias = alias->is_null() ? "" : alias->get<std::string>();
  }
  auto models = read_texts(body, "models");
  if (!models) return std::unexpected(models.error());
  change.models = std::move(*models);
  if (const auto aliases = body.find("aliases"); aliases != body.end()) {
    if (!aliases->is_object()) return wrong("aliases", "an object of names and what they mean");
    change.aliases.emplace();
    for (const auto& [name, target] : aliases->items()) {
      if (!target.is_string()) return wrong("aliases", "an object of names and what they mean");
      (*change.aliases)[name] = target.get<std::string>();
    }
  }
  const auto scopes = read_texts(body, "scopes");
  if (!scopes) return std::unexpected(scopes.error());
  if (*scopes) {
    const auto known = tenants::Scopes::parse(**scopes);
    if (!known) return std::unexpected(known.error());
    change.scopes = *known;
  }
  return {};
}

std::string csv_field(const Json& value) {
  if (!value.is_string()) return value.is_null() ? "" : to_text(value);
  std::string text = value.get<std::string>();
  // Spreadsheets take these for formulas.
  if (!text.empty() && std::string_view("=+-@").contains(text[0])) text.insert(0, "'");
  if (text.find_first_of("\",\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

}  // namespace

Json key_json(const tenants::Key& key) {
  const tenants::KeySettings& settings = key.settings;
  return {{"token_id", key.id},
          {"key_alias", settings.key_alias.empty() ? Json(nullptr) : Json(settings.key_alias)},
          {"scopes", settings.scopes.names()},
          {"models", settings.models},
          {"aliases", settings.aliases},
          {"rpm_limit", limit_json(settings.limits.rpm)},
          {"tpm_limit", limit_json(settings.limits.tpm)},
          {"max_parallel_requests", limit_json(settings.limits.parallel)},
          {"weight", settings.weight},
          {"blocked", settings.blocked},
          {"created_at", time_text(key.created)},
          {"expires", time_json(settings.expires)},
          {"metadata", Json::parse(settings.metadata, nullptr, false)}};
}

Json issued_json(const tenants::IssuedKey& issued) {
  Json json = key_json(*issued.key);
  json["key"] = issued.secret;
  return json;
}

Result<tenants::KeyChange> read_key_change(const RouteCall& call, tenants::WallTime now) {
  const auto body =
      read_body(call, {"key_alias", "scopes", "models", "aliases", "rpm_limit", "tpm_limit",
                       "max_parallel_requests", "weight", "blocked", "duration", "expires", "metadata"});
  if (!body) return std::unexpected(body.error());
  tenants::KeyChange change;
  Status read = read_names(*body, change);
  if (read) read = read_limits(*body, change);
  if (read) read = read_expiry(*body, now, change);
  if (!read) return std::unexpected(read.error());
  if (const auto weight = body->find("weight"); weight != body->end()) {
    if (!weight->is_number()) return wrong("weight", "a number");
    change.weight = weight->get<double>();
  }
  if (body->contains("blocked")) {
    const auto blocked = read_flag(*body, "blocked", false);
    if (!blocked) return std::unexpected(blocked.error());
    change.blocked = *blocked;
  }
  if (const auto metadata = body->find("metadata"); metadata != body->end()) {
    if (!metadata->is_object()) return wrong("metadata", "an object");
    change.metadata = to_text(*metadata);
  }
  return change;
}

Json usage_json(const store::UsageRow& row, const std::string& name) {
  return {{"day", row.day},
          {"token_id", row.key_id},
          {"key_alias", name == row.key_id ? Json(nullptr) : Json(name)},
          {"model", row.model},
          {"requests", row.requests},
          {"errors", row.errors},
          {"prompt_tokens", row.prompt_tokens},
          {"generated_tokens", row.generated_tokens},
          {"total_tokens", row.prompt_tokens + row.generated_tokens}};
}

std::string usage_csv(const std::vector<Json>& rows) {
  std::string text;
  const auto add_line = [&](const auto& field) {
    for (const char* column : kColumns) {
      if (column != kColumns.front()) text += ',';
      text += field(column);
    }
    text += "\r\n";
  };
  add_line([](const char* column) { return std::string(column); });
  for (const Json& row : rows) add_line([&](const char* column) { return csv_field(row.at(column)); });
  return text;
}

}  // namespace switchyard::http
