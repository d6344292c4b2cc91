#pragma once

#include <cstdint>
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

/// What a body may be on the outside. LoRA scales come as an array, which names no model.
enum class Outermost : std::uint8_t { kObject, kObjectOrArray };

/// Reads a JSON object in one pass without building it; of a key that comes twice the last counts, as
/// in the engine's own parser. Errors: kInvalidArgument for text that is no JSON, or no object.
[[nodiscard]] Result<BodyRouting> route_body(std::string_view body, Outermost outermost = Outermost::kObject);

}  // namespace switchyard::http
