#pragma once

#include <algorithm>
#include <cstdint>

namespace switchyard::http {

/// How many connections a server takes at once.
struct ConnectionRoom {
  std::uint64_t ordinary = 0;
  std::uint64_t crowded = 0;  ///< further ones, for short answers: whether it lives, what it counts
};

/// Of a process's descriptors a part stays for what is not a connection: model files, pipes to children,
/// databases. Without it a crowd of idle clients would keep models from being loaded. Pure.
[[nodiscard]] constexpr ConnectionRoom connection_room(std::uint64_t descriptors) {
  const std::uint64_t others = std::clamp<std::uint64_t>(descriptors / 4, 48, 512);
  const std::uint64_t crowded = std::clamp<std::uint64_t>(descriptors / 8, 8, 64);
  const std::uint64_t taken = others + crowded;
  return {.ordinary = descriptors > taken ? descriptors - taken : 1, .crowded = crowded};
}

}  // namespace switchyard::http
