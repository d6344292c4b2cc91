#include "engine/prompts_first.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace switchyard::engine {
namespace {

constexpr double kFirstTokenCounts = 2;  // against another's next one
constexpr double kRises = 1.02;          // the least time, with each that was longer
constexpr double kMostTimes = 16;        // that a load weighs in the plane
constexpr std::uint64_t kLately = 2000;  // decodes
constexpr double kRidge = 1e-3;          // so that loads that never vary have no effect

using Vector = std::array<double, 3>;

/// Solves `a` x = `b` for a symmetric, positive definite `a`; by elimination.
Vector solve(std::array<Vector, 3> a, Vector b) {
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t row = i + 1; row < 3; ++row) {
      const double factor = a[row][i] / a[i][i];
      for (std::size_t column = i; column < 3; ++column) a[row][column] -= factor * a[i][column];
      b[row] -= factor * b[i];
    }
  }
  Vector x{};
  for (std::size_t i = 3; i-- > 0;) {
    x[i] = b[i];
    for (std::size_t column = i + 1; column < 3; ++column) x[i] -= a[i][column] * x[column];
    x[i] /= a[i][i];
  }
  return x;
}

}  // namespace

void DecodeCost::learn(DecodeLoad load, std::chrono::nanoseconds time) {
  if (load.replies + load.prompt_tokens == 0 || load.prompt_tokens > PromptsFirst::kShort) return;
  Seen& seen = seen_[load];
  const auto its = static_cast<double>(time.count());
  seen.least_ns = seen.times == 0 ? its : std::min(its, seen.least_ns * kRises);
  seen.times = std::min(seen.times + 1, kMostTimes);
  seen.last = ++decodes_;
  if (decodes_ % kLately == 0) forget_the_old();
}

void DecodeCost::forget_the_old() {
  for (auto it = seen_.begin(); it != seen_.end();) {
    it = it->second.last + kLately < decodes_ ? seen_.erase(it) : std::next(it);
  }
}

bool DecodeCost::pays(DecodeLoad load) const {
  std::array<Vector, 3> products{};
  Vector times{};
  std::size_t loads = 0;
  for (const auto& [its, seen] : seen_) {
    if (seen.times < 2) continue;  // may have been the engine's very first
    ++loads;
    const Vector x{1, static_cast<double>(its.replies), static_cast<double>(its.prompt_tokens)};
    for (std::size_t row = 0; row < 3; ++row) {
      for (std::size_t column = 0; column < 3; ++column)
        products[row][column] += seen.times * x[row] * x[column];
      times[row] += seen.times * x[row] * seen.least_ns;
    }
  }
  if (loads < 3) return false;
  for (std::size_t i = 0; i < 3; ++i) products[i][i] += kRidge;
  const auto [decode, reply, prompt_token] = solve(products, times);
  const double saved =
      reply * static_cast<double>(load.replies) + prompt_token * static_cast<double>(load.prompt_tokens);
  return saved > 0 && kFirstTokenCounts * saved >= decode;
}

std::vector<bool> PromptsFirst::choose(const std::vector<SlotWork>& slots) {
  std::vector<bool> sits_out(slots.size(), false);
  if (std::exchange(last_was_, false)) return sits_out;
  const auto has_a_reply = [&](std::string_view asker) {
    return std::any_of(slots.begin(), slots.end(), [&](const SlotWork& slot) {
      return slot.at == SlotWork::At::kReply && slot.asker == asker;
    });
  };
  std::size_t first = 0;
  DecodeLoad others;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const SlotWork& slot = slots[i];
    if (slot.at == SlotWork::At::kNothing) continue;
    const bool is_prompt = slot.at == SlotWork::At::kPrompt;
    if (is_prompt && slot.prompt_left <= kShort && !slot.asker.empty() && !has_a_reply(slot.asker)) {
      ++first;
      continue;
    }
    sits_out[i] = true;
    if (is_prompt) {
      others.prompt_tokens += slot.prompt_left;
    } else {
      ++others.replies;
    }
  }
  last_was_ = first > 0 && others.replies + others.prompt_tokens > 0 && (always_ || cost_.pays(others));
  if (!last_was_) return std::vector<bool>(slots.size(), false);
  return sits_out;
}

void PromptsFirst::learn(DecodeLoad load, std::chrono::nanoseconds time) {
  if (last_was_ && load.replies == 0) ++sat_out_;
  cost_.learn(load, time);
}

}  // namespace switchyard::engine
