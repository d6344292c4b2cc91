#include "base/nearest.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <optional>

namespace switchyard {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

/// Edits from a to b: a letter added, left out, changed, or two neighbours swapped (the optimal string
/// alignment distance). Three rows at a time.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::swap(before_last, last);
    std::swap(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

/// What a person may have typed instead of the name: a path of the file.
std::string_view base_name(std::string_view name) {
  name.remove_prefix(name.rfind('/') + 1);  // npos + 1 is 0
  if (name.ends_with(".gguf")) name.remove_suffix(5);
  return name;
}

bool extends(std::string_view name, std::string_view word) {
  return word.size() >= 3 && name.starts_with(word);
}

/// None when `name` is too far from `word`.
std::optional<std::size_t> distance_if_near(std::string_view word, std::string_view name) {
  const std::size_t distance = extends(name, word) ? 1 : edit_distance(word, name);
  const std::size_t most = std::max<std::size_t>(1, std::max(word.size(), name.size()) / 3);
  return distance <= most ? std::optional(distance) : std::nullopt;
}

std::string quoted_list(std::span<const std::string> names, std::string_view last_word) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? std::string(last_word) : ", ";
    text += '\'' + names[i] + '\'';
  }
  return text;
}

}  // namespace

std::vector<std::string> nearest_names(std::string_view word, std::span<const std::string> candidates,
                                       std::size_t limit) {
  constexpr std::size_t kLongestName = 200;  // keeps the quadratic distance bounded
  if (word.empty() || word.size() > kLongestName) return {};
  const std::string wanted = lower(word);
  std::vector<std::pair<std::size_t, const std::string*>> near;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kLongestName || candidate == word) continue;
    const std::string name = lower(candidate);
    auto distance = distance_if_near(wanted, name);
    const auto by_base = distance_if_near(base_name(wanted), base_name(name));
    if (!distance || by_base.value_or(*distance) < *distance) distance = by_base;
    if (distance) near.emplace_back(*distance, &candidate);
  }
  std::ranges::sort(near);  // those equally near as they came: the pointers are into one list
  std::vector<std::string> names;
  for (const auto& [distance, name] : near) {
    if (names.size() == limit) break;
    names.push_back(*name);
  }
  return names;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> candidates) {
  const std::vector<std::string> names = nearest_names(word, candidates);
  if (names.empty()) return {};
  return "; did you mean " + quoted_list(names, " or ") + '?';
}

std::string did_you_mean_or_known(std::string_view word, std::span<const std::string> candidates) {
  constexpr std::size_t kShown = 3;
  if (std::string near = did_you_mean(word, candidates); !near.empty() || candidates.empty()) return near;
  if (candidates.size() == 1) return "; there is '" + candidates.front() + '\'';
  if (candidates.size() <= kShown) return "; there are " + quoted_list(candidates, " and ");
  return "; there are " + quoted_list(candidates.first(kShown), ", ") + " and " +
         std::to_string(candidates.size() - kShown) + " more";
}

}  // namespace switchyard
