#pragma once

#include <string>
#include <string_view>

#include "switchyard/result.h"

namespace switchyard::http {

/// What routing needs of a request's JSON body.
struct BodyRouting {
  std::string model;  ///< empty when missing or no string
  bool stream = false;
  bool wait = false;  ///< of the router's load and unload
};

/// Reads a JSON object in one pass without building it; of a key that comes twice the last counts, as
/// in the engine's own parser. Errors: kInvalidArgument for text that is no JSON, or no object.
[[nodiscard]] Result<BodyRouting> route_body(std::string_view body);

}  // namespace switchyard::http
