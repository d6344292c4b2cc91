#pragma once

#include <optional>

#include "base/clock.h"
#include "http/server.h"

namespace switchyard::http {

/// How long the client of a request waits for an answer, as far as it says: `x-request-timeout` ("30", "30s",
/// "1m30s"), or what the official clients of OpenAI and Anthropic send of their own timeout. Errors:
/// kInvalidArgument for an x-request-timeout that is no time; of the clients' own ones that are ignored.
[[nodiscard]] Result<std::optional<Duration>> request_timeout(const Headers& headers);

}  // namespace switchyard::http
