#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

// Whose prompt an engine's loop evaluates before the replies under way get their next tokens. A value but for
// its counter: no llama.cpp, but compiled in llama.cpp's own server-context library, whose loop asks it
// (server_context_conversations.cpp): C++17.

namespace switchyard::engine {

/// What a decode has to do: the next tokens of replies, and tokens of prompts.
struct DecodeLoad {
  std::size_t replies = 0, prompt_tokens = 0;
  friend bool operator<(const DecodeLoad& a, const DecodeLoad& b) {
    return a.replies != b.replies ? a.replies < b.replies : a.prompt_tokens < b.prompt_tokens;
  }
};

/// What decodes take: a time for each, and a time for each of its replies and prompt tokens. The plane
/// through the mean times of each load that was seen lately.
class DecodeCost {
 public:
  /// Nothing is learnt of loads with more prompt tokens than PromptsFirst::kShort.
  void learn(DecodeLoad load, std::chrono::nanoseconds time);
  /// Whether a decode without `load` is sooner over by at least half of what one more decode costs those who
  /// have to wait for it. False as long as nothing is known.
  [[nodiscard]] bool pays(DecodeLoad load) const;

 private:
  struct Seen {
    double least_ns = 0;  ///< rises a little with each that takes longer
    double times = 0;
    std::uint64_t last = 0;  ///< as a number of decodes
  };
  void forget_the_old();

  std::map<DecodeLoad, Seen> seen_;
  std::uint64_t decodes_ = 0;
};

/// What a slot is at.
struct SlotWork {
  enum class At : std::uint8_t { kNothing, kPrompt, kReply };
  At at = At::kNothing;
  std::string_view asker = {};  ///< Request::asker
  std::size_t prompt_left = 0;  ///< at a prompt: tokens that are still to be evaluated
};

/// A short prompt that somebody waits for, of a tenant to whom no reply is under way, goes into a decode of
/// its own; what the other slots are at sits that decode out. On a processor, where a decode takes nearly as
/// much longer as it has more tokens, the newcomer waits for their own prompt only and not for everybody's
/// next token too. Where it does not (a GPU), nobody sits out; nor where a model has a draft or a projector,
/// or takes no prompt in while it generates (--no-cont-batching).
///
/// Invariants (prompts_first_test.cpp):
///  - who sits one decode out is in the next one;
///  - whoever has a reply under way, has nobody waiting or has a long prompt goes before nobody;
///  - nobody sits out in vain: somebody goes first, and DecodeCost::pays() for what does not.
/// The loop's thread alone calls it, but for sat_out().
class PromptsFirst {
 public:
  /// A longer prompt takes so much longer than a few replies' next tokens that it may as well have them with
  /// it.
  static constexpr std::size_t kShort = 64;

  /// For the decode that is next, to be asked before each: true for each slot that sits it out.
  [[nodiscard]] std::vector<bool> choose(const std::vector<SlotWork>& slots);
  /// What the decode was that choose() was asked for, and what it took.
  void learn(DecodeLoad load, std::chrono::nanoseconds time);
  /// As if it always paid: for tests, whose models are too small for that.
  void always() { always_ = true; }
  /// Decodes that replies have sat out. Any thread.
  [[nodiscard]] std::uint64_t sat_out() const { return sat_out_; }

 private:
  DecodeCost cost_;
  bool last_was_ = false;
  std::atomic<bool> always_ = false;
  std::atomic<std::uint64_t> sat_out_ = 0;
};

}  // namespace switchyard::engine
