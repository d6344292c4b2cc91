#pragma once

#include <string>
#include <string_view>

#include "http/json.h"
#include "http/server.h"
#include "switchyard/result.h"

// Errors as llama-server writes them: {"error": {"code", "message", "type"}}, with our own code's
// name in "switchyard_code".

namespace switchyard::http {

/// The status a client sees for `code`. kCancelled is 503: somebody else stopped what it waited for.
[[nodiscard]] int status_of(ErrorCode code);

/// llama-server's "type" for `code`.
[[nodiscard]] std::string_view type_of(ErrorCode code);

/// What stands under "error".
[[nodiscard]] Json error_object(const Error& error);

/// The whole reply, with Retry-After where trying again makes sense.
[[nodiscard]] Response error_reply(const Error& error);
/// The same for the errors that llama-server has and ErrorCode has not.
[[nodiscard]] Response error_reply(int status, std::string_view type, std::string_view message);

/// 200 with a JSON body.
[[nodiscard]] Response json_reply(const Json& body, int status = 200);

}  // namespace switchyard::http
