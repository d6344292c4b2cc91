#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// Up to `limit` of `candidates` that a person may have meant by `word`, best first: by edit
/// distance, at most a third of the longer name's length, ASCII case ignored, of the whole or of the last
/// part after '/' without ".gguf"; names that begin with `word` count as near. Never `word` itself.
/// Empty when nothing is near.
[[nodiscard]] std::vector<std::string> nearest_names(std::string_view word,
                                                     std::span<const std::string> candidates,
                                                     std::size_t limit = 3);

/// "; did you mean 'a' or 'b'?" or an empty string.
[[nodiscard]] std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

/// The same, or where nothing is near "; there are 'a', 'b', 'c' and 9 more".
[[nodiscard]] std::string did_you_mean_or_known(std::string_view word,
                                                std::span<const std::string> candidates);

}  // namespace switchyard
