#include "traffic/shadow_figures.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <utility>

#include "traffic/key_values.h"

namespace switchyard::traffic {
namespace {

using Reasons = std::map<std::string, std::uint64_t, std::less<>>;

double in_ms(Duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

constexpr std::array<std::pair<std::string_view, std::uint64_t ShadowFigures::*>, 5> kCounts{
    {{"compared", &ShadowFigures::compared},
     {"exact", &ShadowFigures::exact},
     {"json_expected", &ShadowFigures::json_expected},
     {"user_json", &ShadowFigures::user_json},
     {"copy_json", &ShadowFigures::copy_json}}};
constexpr std::array<std::pair<std::string_view, Mean ShadowFigures::*>, 7> kMeans{
    {{"character_ratio", &ShadowFigures::character_ratio},
     {"token_ratio", &ShadowFigures::token_ratio},
     {"similarity", &ShadowFigures::similarity},
     {"user_first_token_ms", &ShadowFigures::user_first_token_ms},
     {"copy_first_token_ms", &ShadowFigures::copy_first_token_ms},
     {"user_total_ms", &ShadowFigures::user_total_ms},
     {"copy_total_ms", &ShadowFigures::copy_total_ms}}};
constexpr std::array<std::pair<std::string_view, Reasons ShadowFigures::*>, 3> kReasons{
    {{"no_similarity", &ShadowFigures::no_similarity},
     {"failed", &ShadowFigures::failed},
     {"dropped", &ShadowFigures::dropped}}};

}  // namespace

void ShadowFigures::add(const ShadowComparison& comparison) {
  ++compared;
  exact += comparison.exact ? 1 : 0;
  if (comparison.character_ratio) character_ratio.add(*comparison.character_ratio);
  if (comparison.token_ratio) token_ratio.add(*comparison.token_ratio);
  if (comparison.expects_json) {
    ++json_expected;
    user_json += comparison.user_json ? 1 : 0;
    copy_json += comparison.copy_json ? 1 : 0;
  }
  if (comparison.similarity) similarity.add(*comparison.similarity);
  if (!comparison.no_similarity.empty()) ++no_similarity[comparison.no_similarity];
  if (comparison.user_first_token) user_first_token_ms.add(in_ms(*comparison.user_first_token));
  if (comparison.copy_first_token) copy_first_token_ms.add(in_ms(*comparison.copy_first_token));
  user_total_ms.add(in_ms(comparison.user_total));
  copy_total_ms.add(in_ms(comparison.copy_total));
}

std::uint64_t total(const Reasons& counts) {
  std::uint64_t sum = 0;
  for (const auto& [reason, count] : counts) sum += count;
  return sum;
}

std::string to_text(const ShadowFigures& figures) {
  std::string text;
  for (const auto& [key, count] : kCounts) text += fmt::format("{}={}\n", key, figures.*count);
  for (const auto& [key, mean] : kMeans)
    text += fmt::format("{}={} {}\n", key, (figures.*mean).count, (figures.*mean).sum);
  for (const auto& [key, reasons] : kReasons) {
    for (const auto& [reason, count] : figures.*reasons)
      text += fmt::format("{}.{}={}\n", key, reason, count);
  }
  return text;
}

ShadowFigures parse_shadow_figures(std::string_view text) {
  ShadowFigures figures;
  for_each_value(text, [&](std::string_view key, std::string_view value) {
    for (const auto& [name, count] : kCounts) {
      if (key == name) figures.*count = number_of<std::uint64_t>(value).value_or(0);
    }
    for (const auto& [name, mean] : kMeans) {
      const std::size_t space = value.find(' ');
      if (key != name || space == std::string_view::npos) continue;
      (figures.*mean).count = number_of<std::uint64_t>(value.substr(0, space)).value_or(0);
      (figures.*mean).sum = number_of<double>(value.substr(space + 1)).value_or(0);
    }
    const std::size_t dot = key.find('.');
    if (dot == std::string_view::npos) return;
    for (const auto& [name, reasons] : kReasons) {
      if (key.substr(0, dot) == name)
        (figures.*reasons)[std::string(key.substr(dot + 1))] = number_of<std::uint64_t>(value).value_or(0);
    }
  });
  return figures;
}

}  // namespace switchyard::traffic
