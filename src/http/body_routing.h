#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/tier.h"
#include "switchyard/result.h"

namespace switchyard::http {

/// llama.cpp's handlers walk a body with one stack frame or more a level: deeper ones would end the process.
inline constexpr std::size_t kDeepestJson = 256;
/// The same for brackets within a text that llama.cpp parses again: grammars, patterns, tool arguments.
inline constexpr std::size_t kDeepestText = 1000;
/// Bodies of requests that change something here, and ask no engine, are read on the loop thread.
inline constexpr std::size_t kLargestControlBody = 64 << 10;

/// What routing needs of a request's JSON body.
struct BodyRouting {
  std::string model;  ///< empty when missing or null
  bool stream = false;
  bool wait = false;  ///< of the router's load and unload
  std::string user =
      {};  ///< OpenAI's "user", or "user_id" in Anthropic's "metadata"; the first that is a text
  gateway::Tier tier = gateway::Tier::kDefault;  ///< as OpenAI's "service_tier" says
  std::size_t text_bytes = 0;                    ///< of all texts but images, sounds and files
  std::uint64_t token_ids = 0;                   ///< in prompts that come as such
  std::optional<std::uint64_t> max_tokens =
      {};                     ///< the most that one reply may have, by any of the names that engines read
  std::uint64_t replies = 1;  ///< to one prompt
  std::uint64_t prompts = 1;
};

/// What a body may be on the outside. LoRA scales come as an array, which names no model.
enum class Outermost : std::uint8_t { kObject, kObjectOrArray };

/// Reads a JSON object in one pass without building it; of a key that comes twice the last counts, as
/// in the engine's own parser. Errors: kInvalidArgument for text that is no JSON, or no object, or nested
/// too deeply, and for a model that is no string.
[[nodiscard]] Result<BodyRouting> route_body(std::string_view body, Outermost outermost = Outermost::kObject);

/// The same for a body of at most kLargestControlBody; kTooLarge above, before anything is read. A 'wait'
/// that is no flag is kInvalidArgument.
[[nodiscard]] Result<BodyRouting> route_control_body(std::string_view body);

}  // namespace switchyard::http
