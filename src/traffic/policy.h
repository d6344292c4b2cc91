#pragma once

#include <optional>

#include "traffic/types.h"

// What a switch does, decided by pure functions of values: their tests are tables.

namespace switchyard::traffic {

/// What is known when a switch begins.
struct Situation {
  Policy policy = Policy::kAvailabilityPreserving;
  KeepOld keep_old = KeepOld::kParked;
  models::State old_state = models::State::kCold;
  models::State new_state = models::State::kCold;
  bool same_version = false;  ///< the alias means it already
  bool old_is_pinned = false;
  bool old_has_other_names = false;  ///< another alias points at it
};

enum class Opening : std::uint8_t {
  kLoadBesides,  ///< the old version is kept hot while the new one is loaded
  kSendOldAway,  ///< requests are held; the old one drains and leaves before the new one is loaded
};
[[nodiscard]] Opening opening(const Situation& situation);

/// What becomes of the old version after the flip; nothing: it stays as it is.
[[nodiscard]] std::optional<models::Residency> old_goes_to(const Situation& situation);

/// What a config entry means for an alias that is known from an earlier time.
enum class Redefinition : std::uint8_t {
  kStay,        ///< the entry did not change: where it was moved to counts
  kStayAway,    ///< it was removed by a call, and the entry did not change
  kPointThere,  ///< lazily: nothing serves that could go on serving
  kSwitch,      ///< by a switch: what it means now goes on serving until then
};
struct Redefined {
  bool known = false;    ///< there is such an alias from before
  bool removed = false;  ///< by a call
  bool entry_changed = false;
  bool target_is_there = false;  ///< what it means now is still catalogued
  bool at_start = false;
};
[[nodiscard]] Redefinition redefinition(const Redefined& facts);

}  // namespace switchyard::traffic
