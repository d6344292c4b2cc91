#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "http/json.h"
#include "http/residency.h"
#include "http/router.h"

// The bodies of /admin/v1: objects of known keys. Errors of all: kInvalidArgument, naming the key.

namespace switchyard::http {

/// Empty, or an object with none but these keys.
[[nodiscard]] Result<Json> read_body(const RouteCall& call, std::initializer_list<std::string_view> keys);
/// "wait"; true where it is not given.
[[nodiscard]] Result<Wait> read_wait(const Json& body);

[[nodiscard]] Result<bool> read_flag(const Json& body, const char* key, bool otherwise);
/// A text that may be missing.
[[nodiscard]] Result<std::optional<std::string>> read_text(const Json& body, const char* key);
/// "to", the name of a version, which may not be missing.
[[nodiscard]] Result<std::string> read_target(const Json& body);
/// A number that may be missing.
[[nodiscard]] Result<std::optional<double>> read_number(const Json& body, const char* key);
/// A list of texts that may be missing.
[[nodiscard]] Result<std::optional<std::vector<std::string>>> read_texts(const Json& body, const char* key);
/// "30s", "500ms", "1m30s"; empty for anything else, and for more than a year.
[[nodiscard]] std::optional<Duration> parse_duration(std::string_view text);
/// The same, or a number of seconds.
[[nodiscard]] Result<std::optional<Duration>> read_duration(const Json& body, const char* key);

}  // namespace switchyard::http
