#pragma once

#include <span>
#include <string>

#include "http/server.h"

namespace switchyard::http {

/// True when there is no key, or the request carries one of them: `Authorization: Bearer KEY` or, without
/// that header, `X-Api-Key: KEY`. Takes the same time for every wrong key of a length.
[[nodiscard]] bool allows(std::span<const std::string> keys, const Request& request);

}  // namespace switchyard::http
