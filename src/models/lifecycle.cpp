#include "models/lifecycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>

namespace switchyard::models {
namespace {

constexpr std::array kMoves = {
    Move{State::kCold, State::kLoading, "wanted, and admitted"},
    Move{State::kCold, State::kFailed, "the file is bad or can never fit"},
    Move{State::kLoading, State::kWarming, "weights and context are there"},
    Move{State::kLoading, State::kFailed, "the load failed"},
    Move{State::kLoading, State::kCold, "cancelled"},
    Move{State::kLoading, State::kParked, "a resume failed or was cancelled, the weights are held"},
    Move{State::kWarming, State::kHot, "it has answered once"},
    Move{State::kWarming, State::kFailed, "the load failed"},
    Move{State::kWarming, State::kCold, "cancelled"},
    Move{State::kWarming, State::kParked, "a resume failed or was cancelled, the weights are held"},
    Move{State::kHot, State::kDraining, "evicted, idle, or asked to leave"},
    Move{State::kDraining, State::kHot, "nobody waits for its room any more"},
    Move{State::kDraining, State::kParked, "no lease is left; the weights stay"},
    Move{State::kDraining, State::kUnloading, "no lease is left; nothing stays"},
    Move{State::kParked, State::kLoading, "wanted again"},
    Move{State::kParked, State::kUnloading, "evicted, idle, or asked to leave"},
    Move{State::kHot, State::kFailed, "its engine broke"},
    Move{State::kDraining, State::kFailed, "its engine broke"},
    Move{State::kParked, State::kFailed, "its weights are lost"},
    Move{State::kUnloading, State::kCold, "its memory is free"},
    Move{State::kFailed, State::kLoading, "tried again"},
    Move{State::kFailed, State::kCold, "unloaded by hand, or removed"},
};

}  // namespace

std::string_view to_string(Residency residency) noexcept {
  switch (residency) {
    case Residency::kHot: return "hot";
    case Residency::kParked: return "parked";
    case Residency::kCold: return "cold";
  }
  return "unknown";
}

std::string_view to_string(State state) noexcept {
  switch (state) {
    case State::kCold: return "cold";
    case State::kLoading: return "loading";
    case State::kWarming: return "warming";
    case State::kHot: return "hot";
    case State::kDraining: return "draining";
    case State::kParked: return "parked";
    case State::kUnloading: return "unloading";
    case State::kFailed: return "failed";
  }
  return "unknown";
}

std::span<const Move> legal_moves() noexcept { return kMoves; }

bool is_legal(State from, State to) noexcept {
  return std::ranges::any_of(kMoves, [&](const Move& move) { return move.from == from && move.to == to; });
}

std::string mermaid_diagram() {
  std::string text = "stateDiagram-v2\n  [*] --> cold\n";
  for (const Move& move : kMoves) {
    text += fmt::format("  {} --> {}: {}\n", to_string(move.from), to_string(move.to), move.when);
  }
  return text;
}

Status Lifecycle::move_to(State to) {
  if (!is_legal(state_, to)) {
    assert(false && "illegal move in the life of a version");
    return fail(ErrorCode::kInternal,
                fmt::format("a version cannot go from {} to {}", to_string(state_), to_string(to)));
  }
  state_ = to;
  return {};
}

}  // namespace switchyard::models
