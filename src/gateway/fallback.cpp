#include "gateway/fallback.h"

#include <algorithm>

namespace switchyard::gateway {

std::size_t choose(const std::vector<std::optional<models::Standing>>& standings) {
  const auto sound = [](const auto& standing) { return standing && !standing->in_trouble; };
  const auto hot = [](const auto& standing) { return standing && standing->state == models::State::kHot; };
  if (standings.empty() || sound(standings.front())) return 0;
  auto chosen = std::ranges::find_if(standings, hot);
  if (chosen == standings.end()) chosen = std::ranges::find_if(standings, sound);
  return chosen == standings.end() ? 0 : static_cast<std::size_t>(chosen - standings.begin());
}

}  // namespace switchyard::gateway
