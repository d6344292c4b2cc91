#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

// Plans and figures as they are kept: "key=value", one a line.

namespace switchyard::traffic {

/// Calls `take(key, value)` for each line that is one.
template <typename Take>
void for_each_value(std::string_view text, Take take) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t equals = line.find('=');
    if (equals != std::string_view::npos) take(line.substr(0, equals), line.substr(equals + 1));
  }
}

/// Nothing for a text that is no number, or more than one.
template <typename Number>
[[nodiscard]] std::optional<Number> number_of(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace switchyard::traffic
