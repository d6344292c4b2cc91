#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

#include "switchyard/result.h"

namespace switchyard::http {

using Json = nlohmann::json;

/// JSON text; bytes that are not UTF-8 become U+FFFD instead of an exception.
[[nodiscard]] inline std::string to_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// The JSON object of a control request's body, or what is wrong and where; see route_control_body().
[[nodiscard]] Result<Json> parse_object(std::string_view text);

}  // namespace switchyard::http
