#pragma once

#include <string>
#include <string_view>

namespace switchyard::webhook {

/// "sha256=<hex HMAC-SHA256 of the body>", as GitHub signs its webhooks.
[[nodiscard]] std::string signature(std::string_view secret, std::string_view body);

}  // namespace switchyard::webhook
