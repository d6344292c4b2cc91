#pragma once

#include "http/router.h"

namespace switchyard::http {

/// What has a fixed answer: the front page, /openapi.json, and llama-server's features that this
/// server does not have and says so.
void add_static_routes(Router& router, const std::string& version, const std::string& api_prefix);

}  // namespace switchyard::http
