#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace switchyard::engine {

/// The header of an engine's reply that holds its TokenTally. Not for clients.
inline constexpr const char* kTokensHeader = "x-switchyard-tokens";

/// What a request has an engine do. llama.cpp's own counts are those of one reply, also where a request has
/// several prompts or wants several replies to one.
struct TokenTally {
  std::uint64_t replies = 0;  ///< one for each prompt and each reply to it
  std::uint64_t prompt = 0;   ///< tokens, each prompt once
  std::optional<std::uint64_t> generated =
      {};  ///< tokens; not known when a stream begins, none of embeddings
  bool operator==(const TokenTally&) const = default;
};

[[nodiscard]] inline std::string to_text(const TokenTally& tally) {
  std::string text = std::to_string(tally.replies) + ' ' + std::to_string(tally.prompt);
  if (tally.generated) text += ' ' + std::to_string(*tally.generated);
  return text;
}

/// Empty for what to_text() has not made.
[[nodiscard]] inline std::optional<TokenTally> token_tally_from(std::string_view text) {
  const auto take_number = [&]() -> std::optional<std::uint64_t> {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.starts_with(' ')) text.remove_prefix(1);
    return number;
  };
  const auto replies = take_number();
  const auto prompt = replies ? take_number() : std::nullopt;
  if (!prompt) return std::nullopt;
  return TokenTally{.replies = *replies, .prompt = *prompt, .generated = take_number()};
}

}  // namespace switchyard::engine
