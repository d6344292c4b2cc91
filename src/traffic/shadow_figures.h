#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "traffic/shadow.h"

namespace switchyard::traffic {

struct Mean {
  std::uint64_t count = 0;
  double sum = 0;
  void add(double value) {
    ++count;
    sum += value;
  }
  [[nodiscard]] std::optional<double> value() const {
    return count == 0 ? std::nullopt : std::optional(sum / static_cast<double>(count));
  }
  bool operator==(const Mean&) const = default;
};

/// What a shadow has shown since it began. A value.
struct ShadowFigures {
  std::uint64_t compared = 0;  ///< copies that were answered
  std::uint64_t exact = 0;     ///< with the user's text to the letter
  Mean character_ratio, token_ratio;
  std::uint64_t json_expected = 0, user_json = 0, copy_json = 0;
  Mean similarity;
  Mean user_first_token_ms, copy_first_token_ms, user_total_ms, copy_total_ms;
  std::map<std::string, std::uint64_t, std::less<>> no_similarity;  ///< by why
  std::map<std::string, std::uint64_t, std::less<>> failed;         ///< copies without a reply, by why
  std::map<std::string, std::uint64_t, std::less<>> dropped;        ///< requests that were not copied, by why
  bool operator==(const ShadowFigures&) const = default;

  void add(const ShadowComparison& comparison);
};

[[nodiscard]] std::uint64_t total(const std::map<std::string, std::uint64_t, std::less<>>& counts);

/// As they are kept, and back.
[[nodiscard]] std::string to_text(const ShadowFigures& figures);
[[nodiscard]] ShadowFigures parse_shadow_figures(std::string_view text);

}  // namespace switchyard::traffic
