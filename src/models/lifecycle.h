#pragma once

#include <span>
#include <string>
#include <string_view>

#include "models/types.h"

namespace switchyard::models {

/// One legal move of a version, and when it is made.
struct Move {
  State from;
  State to;
  std::string_view when;
};

/// The table of all legal moves. The only place that knows them; the diagram is printed from it.
[[nodiscard]] std::span<const Move> legal_moves() noexcept;
[[nodiscard]] bool is_legal(State from, State to) noexcept;

/// The table as a Mermaid state diagram, for docs/architecture.md.
[[nodiscard]] std::string mermaid_diagram();

/// The state of one version. Its owner's lock guards it.
class Lifecycle {
 public:
  [[nodiscard]] State state() const { return state_; }
  /// The only way to change it. An illegal move asserts in debug builds; in release builds it is
  /// kInternal and nothing has changed.
  Status move_to(State to);

 private:
  State state_ = State::kCold;
};

/// Hot, or becoming so, or leaving: what models_max counts.
[[nodiscard]] constexpr bool counts_as_loaded(State state) noexcept {
  return state == State::kLoading || state == State::kWarming || state == State::kHot ||
         state == State::kDraining;
}

}  // namespace switchyard::models
