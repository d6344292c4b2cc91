#include "health/types.h"

#include <array>

namespace switchyard::health {

std::string_view to_string(Health health) noexcept {
  constexpr std::array<std::string_view, 5> kWords = {"unknown", "healthy", "degraded", "failed",
                                                      "quarantined"};
  return kWords[static_cast<std::size_t>(health)];
}

std::string_view to_string(Source source) noexcept {
  constexpr std::array<std::string_view, 3> kWords = {"probe", "reply", "engine"};
  return kWords[static_cast<std::size_t>(source)];
}

}  // namespace switchyard::health
