#include "http/token_counter.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>

namespace switchyard::http {
namespace {

constexpr std::size_t kLongestObject = 1024;  // of counts

/// What follows `"key":` in `text`, where that is a count.
std::optional<std::uint64_t> count_of(std::string_view text, std::string_view key) {
  const std::string quoted = "\"" + std::string(key) + "\":";
  const std::size_t at = text.find(quoted);
  if (at == std::string_view::npos) return std::nullopt;
  const char* const from = text.data() + at + quoted.size();
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(from, text.data() + text.size(), count);
  return error == std::errc() && end != from ? std::optional(count) : std::nullopt;
}

/// The sum of what is there; nothing without the first of them.
std::optional<std::uint64_t> sum_of(std::string_view text, std::initializer_list<std::string_view> keys) {
  std::optional<std::uint64_t> sum;
  for (const std::string_view key : keys) {
    const auto count = count_of(text, key);
    if (!sum && !count) return std::nullopt;
    sum = sum.value_or(0) + count.value_or(0);
  }
  return sum;
}

/// The object that follows `key`, and perhaps more; empty when there is none.
std::string_view object_at(std::string_view bytes, std::string_view key) {
  const std::size_t at = bytes.find(key);
  return at == std::string_view::npos ? std::string_view() : bytes.substr(at, kLongestObject);
}

void take(std::optional<std::uint64_t>& into, std::optional<std::uint64_t> found) {
  if (found) into = found;
}

}  // namespace

void TokenCounter::see(std::string_view bytes) {
  if (const auto usage = object_at(bytes, "\"usage\":{"); !usage.empty()) {
    take(said_.prompt, count_of(usage, "prompt_tokens"));
    take(said_.generated, count_of(usage, "completion_tokens"));
    take(said_.generated, count_of(usage, "output_tokens"));
    // Anthropic counts what came from the cache apart; OpenAI's responses have no such key.
    take(said_.prompt, sum_of(usage, {"input_tokens", "cache_read_input_tokens"}));
  }
  if (const auto timings = object_at(bytes, "\"timings\":{"); !timings.empty()) {
    take(said_.prompt, sum_of(timings, {"prompt_n", "cache_n"}));
    take(said_.generated, count_of(timings, "predicted_n"));
  }
  // One of several has ended: its last piece says what it was.
  if (has_several() && (bytes.find("\"finish_reason\":\"") != std::string_view::npos ||
                        bytes.find("\"stop\":true") != std::string_view::npos)) {
    generated_ += said_.generated.value_or(0);
    ++ended_;
  }
}

gateway::TokenCounts TokenCounter::counts(std::uint64_t pieces) const {
  gateway::TokenCounts counts = said_;
  if (has_several()) {
    counts.prompt = tally_->prompt;
    counts.generated = ended_ >= tally_->replies ? generated_ : std::max(generated_, pieces);
    if (tally_->generated) counts.generated = tally_->generated;
    return counts;
  }
  if (!counts.prompt && tally_) counts.prompt = tally_->prompt;
  if (!counts.generated && tally_) counts.generated = tally_->generated;
  if (!counts.generated && pieces > 0) counts.generated = pieces;
  return counts;
}

}  // namespace switchyard::http
