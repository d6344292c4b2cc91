#include "traffic/policy.h"

namespace switchyard::traffic {
namespace {

bool in_memory(models::State state) {
  return state == models::State::kHot || state == models::State::kDraining || state == models::State::kParked;
}

}  // namespace

Opening opening(const Situation& situation) {
  const bool nothing_to_gain = situation.same_version || situation.new_state == models::State::kHot ||
                               !in_memory(situation.old_state) || !old_goes_to(situation);
  return situation.policy == Policy::kAvailabilityPreserving || nothing_to_gain ? Opening::kLoadBesides
                                                                                : Opening::kSendOldAway;
}

std::optional<models::Residency> old_goes_to(const Situation& situation) {
  if (situation.same_version || situation.old_is_pinned || situation.old_has_other_names) return std::nullopt;
  if (situation.keep_old == KeepOld::kHot || !in_memory(situation.old_state)) return std::nullopt;
  return situation.keep_old == KeepOld::kParked ? models::Residency::kParked : models::Residency::kCold;
}

Redefinition redefinition(const Redefined& facts) {
  if (!facts.known) return Redefinition::kPointThere;
  if (facts.removed) return facts.entry_changed ? Redefinition::kPointThere : Redefinition::kStayAway;
  if (!facts.target_is_there) return Redefinition::kPointThere;
  if (!facts.entry_changed) return Redefinition::kStay;
  return facts.at_start ? Redefinition::kPointThere : Redefinition::kSwitch;
}

}  // namespace switchyard::traffic
