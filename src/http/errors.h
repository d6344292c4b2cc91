#pragma once

#include <string>
#include <string_view>

#include "http/json.h"
#include "http/server.h"
#include "switchyard/result.h"

// Errors as llama-server writes them: {"error": {"code", "message", "type"}}, with our own code's
// name in "switchyard_code". On Anthropic's paths as Anthropic does: {"type": "error", "error": ...} with its
// own words for "type".

namespace switchyard::http {

enum class Dialect : std::uint8_t { kOpenAi, kAnthropic };
/// `path` without the API prefix.
[[nodiscard]] Dialect dialect_of(std::string_view path);

/// The status a client sees for `code`. kCancelled is 503: somebody else stopped what it waited for.
[[nodiscard]] int status_of(ErrorCode code);

/// The dialect's "type" for `code`.
[[nodiscard]] std::string_view type_of(ErrorCode code, Dialect dialect = Dialect::kOpenAi);

/// What stands under "error".
[[nodiscard]] Json error_object(const Error& error, Dialect dialect = Dialect::kOpenAi);
/// The whole body.
[[nodiscard]] Json error_body(const Error& error, Dialect dialect = Dialect::kOpenAi);

/// The whole reply. For the official clients, which try all of 429 and 5xx again by themselves: Retry-After
/// where that makes sense, `x-should-retry: false` where it does not.
[[nodiscard]] Response error_reply(const Error& error, Dialect dialect = Dialect::kOpenAi);
/// The same for the errors that llama-server has and ErrorCode has not.
[[nodiscard]] Response error_reply(int status, std::string_view type, std::string_view message);

/// 200 with a JSON body.
[[nodiscard]] Response json_reply(const Json& body, int status = 200);

}  // namespace switchyard::http
