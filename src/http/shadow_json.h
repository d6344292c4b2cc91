#pragma once

#include "http/json.h"
#include "traffic/shadows.h"

// Shadows as the API tells and takes them. Pure functions.

namespace switchyard::http {

/// `waiting`: copies that are still to be made.
[[nodiscard]] Json shadow_json(const traffic::ShadowStatus& status, std::size_t waiting);
[[nodiscard]] Json pair_json(const traffic::ShadowPair& pair);
/// The settings of a PUT's body. Errors: kInvalidArgument, naming the key.
[[nodiscard]] Result<traffic::ShadowPlan> read_shadow_plan(const Json& body);

}  // namespace switchyard::http
