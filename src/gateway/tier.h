#pragma once

#include <cstdint>

namespace switchyard::gateway {

/// How urgent a request is, the most urgent first. A client says so by OpenAI's `service_tier`.
enum class Tier : std::uint8_t {
  kPriority,    ///< before the others of its tenant
  kDefault,     ///< somebody waits for it
  kFlex,        ///< batch work: after every request that somebody waits for
  kBackground,  ///< the server's own (a shadow's copy): takes what nobody else wants, and never waits for it
};

/// Somebody waits for it.
[[nodiscard]] constexpr bool is_interactive(Tier tier) {
  return tier == Tier::kPriority || tier == Tier::kDefault;
}

}  // namespace switchyard::gateway
