#pragma once

#include <string_view>

#include "http/live_settings.h"
#include "http/server.h"

namespace switchyard::http {

/// True for http(s)://localhost, 127.0.0.1 and [::1], any port.
[[nodiscard]] bool is_local_origin(std::string_view origin);

/// Headers that every reply to a request from `origin` (empty: none) carries.
[[nodiscard]] Headers cors_headers(const CorsOptions& options, std::string_view origin);

/// The answer to a browser's OPTIONS; asks for no key, because browsers send none.
[[nodiscard]] Response cors_preflight(const CorsOptions& options);

}  // namespace switchyard::http
