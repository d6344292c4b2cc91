#include "traffic/shadow.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "traffic/key_values.h"
#include "traffic/shares.h"

namespace switchyard::traffic {
namespace {

constexpr double kPlaces = 4294967296.0;  // 2^32, of place_of()

std::optional<double> ratio(double copy, double user) {
  if (user > 0) return copy / user;
  return copy > 0 ? std::nullopt : std::optional(1.0);
}

}  // namespace

Status check_plan(const ShadowPlan& plan) {
  const bool is_fraction = plan.fraction > 0 && plan.fraction <= 1;  // no NaN
  if (!is_fraction) {
    return fail(ErrorCode::kInvalidArgument,
                "'fraction' must be above 0 and at most 1, as in 0.1 for every tenth request; to have none "
                "copied, stop the shadow");
  }
  return {};
}

std::string to_text(const ShadowPlan& plan) {
  return fmt::format(
      "fraction={}\nsimilarity_model={}\nkeep_replies={:d}\nbeside_users={:d}\nmax_tokens={}\n",
      plan.fraction, plan.similarity_model, plan.keep_replies, plan.beside_users, plan.max_tokens);
}

ShadowPlan parse_shadow_plan(std::string_view text) {
  ShadowPlan plan;
  for_each_value(text, [&](std::string_view key, std::string_view value) {
    if (key == "fraction") plan.fraction = number_of<double>(value).value_or(plan.fraction);
    if (key == "similarity_model") plan.similarity_model = value;
    if (key == "keep_replies") plan.keep_replies = value == "1";
    if (key == "beside_users") plan.beside_users = value == "1";
    if (key == "max_tokens") plan.max_tokens = number_of<std::uint32_t>(value).value_or(0);
  });
  return plan;
}

bool is_shadowed(std::string_view alias, std::string_view request_id, double fraction) {
  // A salt of its own: who is copied has nothing to do with who gets which arm of a split.
  return place_of("shadow of " + std::string(alias), request_id) < fraction * kPlaces;
}

ShadowComparison compare(const ShadowedReply& user, const ShadowedReply& copy, WantsJson wants) {
  ShadowComparison comparison{.exact = user.text == copy.text,
                              .character_ratio = ratio(static_cast<double>(count_characters(copy.text)),
                                                       static_cast<double>(count_characters(user.text))),
                              .expects_json = wants == WantsJson::kYes || user.is_json,
                              .user_json = user.is_json,
                              .copy_json = copy.is_json,
                              .user_first_token = user.first_token,
                              .copy_first_token = copy.first_token,
                              .user_total = user.total,
                              .copy_total = copy.total};
  if (user.tokens && copy.tokens)
    comparison.token_ratio = ratio(static_cast<double>(*copy.tokens), static_cast<double>(*user.tokens));
  return comparison;
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::optional<double> cosine(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return std::nullopt;
  double product = 0, length_a = 0, length_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    product += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    length_a += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    length_b += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  const double value = product / (std::sqrt(length_a) * std::sqrt(length_b));
  if (!std::isfinite(value)) return std::nullopt;
  return std::clamp(value, -1.0, 1.0);
}

}  // namespace switchyard::traffic
