#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/api/engine.h"

// Requests of the engine's tests.

namespace switchyard::engine {

inline std::unique_ptr<Reply> post_completion(Engine& engine, const nlohmann::json& body,
                                              const std::string& owner, const std::string& asker = "") {
  return engine.handle({.method = "POST",
                        .path = "/completion",
                        .params = {},
                        .query_string = "",
                        .headers = {},
                        .body = body.dump(),
                        .files = {},
                        .owner = owner,
                        .asker = asker});
}

}  // namespace switchyard::engine
