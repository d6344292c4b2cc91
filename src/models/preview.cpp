#include "models/preview.h"

#include <algorithm>

namespace switchyard::models {
namespace {

VersionRef ref_of(const std::string& name) {
  const std::size_t at = name.rfind('@');
  return {name.substr(0, at), at == std::string::npos ? std::string() : name.substr(at + 1)};
}

}  // namespace

Preview make_preview(Snapshot snapshot, std::size_t index) {
  Candidate& wanted = snapshot.candidates[index];
  Preview preview{.state = wanted.state, .needs = {}, .free = {}, .evicts = {}, .refusal = {}};
  preview.needs = wanted.footprint->hot.total();
  if (const auto host = snapshot.budgets.find("host"); host != snapshot.budgets.end()) {
    preview.free = host->second - snapshot.usage.total("host");
  }
  if (wanted.state == State::kHot) return preview;
  preview.expected = wanted.came_back_in;
  wanted.wanted = true;
  wanted.inspection = InspectionState::kDone;
  wanted.waiting_since = snapshot.now - snapshot.max_wait;  // whoever may be asked to go is asked at once
  const Plan plan = make_plan(snapshot);
  bool loads = false;
  for (const Action& action : plan.actions) {
    const Candidate& one = snapshot.candidates[action.index];
    switch (action.kind) {
      case Action::Kind::kPark:
      case Action::Kind::kUnload:
      case Action::Kind::kDrain:
        if (action.reason == "idle") break;
        preview.evicts.push_back(
            {ref_of(one.name), action.kind == Action::Kind::kUnload ? Residency::kCold : Residency::kParked,
             action.reason, one.leases});
        break;
      case Action::Kind::kLoad: loads = loads || action.index == index; break;
      case Action::Kind::kRefuse:
        if (action.index == index) preview.refusal = action.error;
        break;
      case Action::Kind::kInspect:
      case Action::Kind::kCallOff:
      case Action::Kind::kFinishDrain: break;
    }
  }
  preview.waits = !loads && !preview.refusal && preview.evicts.empty();
  return preview;
}

}  // namespace switchyard::models
