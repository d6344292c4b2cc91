#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "switchyard/result.h"

// Which requests of an alias are copied to another version, and how its replies compare. Pure.

namespace switchyard::traffic {

/// How an alias is shadowed.
struct ShadowPlan {
  double fraction = 0.1;              ///< of the requests, above 0, at most 1
  std::string similarity_model = {};  ///< whose embeddings say how near two replies are; empty: none do
  bool keep_replies = false;          ///< prompts and both replies of the newest pairs are kept to be read
  bool beside_users = false;          ///< copies run while users' requests do, and not only between them
  std::uint32_t max_tokens = 0;       ///< of a copy's reply; 0: what the request says
  bool operator==(const ShadowPlan&) const = default;
};

/// kInvalidArgument, naming the setting.
[[nodiscard]] Status check_plan(const ShadowPlan& plan);
/// As it is kept, and back; what a text does not say is the default.
[[nodiscard]] std::string to_text(const ShadowPlan& plan);
[[nodiscard]] ShadowPlan parse_shadow_plan(std::string_view text);

/// Whether a request is one of the `fraction` that are copied: by a hash of alias and id (place_of()). One
/// that is chosen stays so when the fraction grows.
[[nodiscard]] bool is_shadowed(std::string_view alias, std::string_view request_id, double fraction);

/// One of two replies that are compared.
struct ShadowedReply {
  std::string_view text;
  bool is_json = false;  ///< the text parses as JSON
  std::optional<std::uint64_t> tokens = {};
  std::optional<Duration> first_token = {};
  Duration total{0};  ///< from the engine's start on it
};

/// How a copy's reply differs from the user's.
struct ShadowComparison {
  bool exact = false;
  /// The copy's over the user's; nothing where that is empty and the copy's is not.
  std::optional<double> character_ratio = {}, token_ratio = {};
  bool expects_json = false;  ///< the request asked for JSON, or the user's reply is some
  bool user_json = false, copy_json = false;
  std::optional<double> similarity = {};
  std::string no_similarity = {};  ///< why there is none, where one was wanted
  std::optional<Duration> user_first_token = {}, copy_first_token = {};
  Duration user_total{0}, copy_total{0};
};
enum class WantsJson : std::uint8_t { kNo, kYes };
[[nodiscard]] ShadowComparison compare(const ShadowedReply& user, const ShadowedReply& copy, WantsJson wants);

/// Code points of UTF-8.
[[nodiscard]] std::size_t count_characters(std::string_view text);

/// The cosine of the angle between two vectors, -1 to 1. Nothing where they have different sizes, no
/// direction, or a number that is none.
[[nodiscard]] std::optional<double> cosine(std::span<const float> a, std::span<const float> b);

}  // namespace switchyard::traffic
