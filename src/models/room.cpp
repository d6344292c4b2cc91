#include "models/room.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "models/lifecycle.h"

namespace switchyard::models {
namespace {

const Charge* pointer_to(const std::optional<Charge>& charge) { return charge ? &*charge : nullptr; }

/// Never taken away by the manager itself, and not on its way out already.
bool stays(const Candidate& candidate) {
  if (candidate.lost) return true;
  return candidate.pinned && candidate.state != State::kDraining && candidate.state != State::kUnloading;
}

std::string join_names(std::vector<std::string> names) {
  std::ranges::sort(names);
  return fmt::format("{}", fmt::join(names, ", "));
}

Error no_memory(const Snapshot& snapshot, std::size_t index, const Usage& others, const std::string& device,
                ByteSize budget) {
  const Candidate& wanted = snapshot.candidates[index];
  Usage now = snapshot.usage;
  if (wanted.held) now.remove(*wanted.held);
  Usage with = others;
  with.add(wanted.footprint->hot);
  const ByteSize needs = with.total(device) - others.total(device);
  const ByteSize free = budget - now.total(device);
  const ByteSize evictable = now.total(device) - others.total(device);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < snapshot.candidates.size(); ++i) {
    const Candidate& other = snapshot.candidates[i];
    if (i != index && other.held && !stays(other)) names.push_back(other.name);
  }
  std::string text = fmt::format("model '{}' needs {}, {} of the {} budget", wanted.name, needs.to_string(),
                                 free.to_string(), budget.to_string());
  if (device != "host") text += " of " + device;
  text += " is free and ";
  text += evictable.bytes() == 0 ? std::string("nothing could be freed by evicting other models")
                                 : fmt::format("{} could be freed by evicting {}", evictable.to_string(),
                                               join_names(std::move(names)));
  return {ErrorCode::kDoesNotFit, text + "; raise the memory budget or choose a smaller context"};
}

}  // namespace

Room::Room(const Snapshot& snapshot) : snapshot_(&snapshot), usage_(snapshot.usage) {
  for (const Candidate& candidate : snapshot.candidates) {
    charges_.push_back(pointer_to(candidate.held));
    counted_.push_back(counts_as_loaded(candidate.state) && !candidate.broken);
    places_.push_back(counted_.back()                     ? Residency::kHot
                      : candidate.state == State::kParked ? Residency::kParked
                                                          : Residency::kCold);
    if (counted_.back()) ++loaded_;
  }
}

const Charge* Room::charge_at(std::size_t index, Residency place) const {
  const Candidate& candidate = snapshot_->candidates[index];
  switch (place) {
    case Residency::kHot:
      return candidate.held && counts_as_loaded(candidate.state) ? &*candidate.held
                                                                 : &candidate.footprint->hot;
    case Residency::kParked:
      if (candidate.state == State::kParked) return pointer_to(candidate.held);
      return candidate.footprint ? &candidate.footprint->parked : nullptr;
    case Residency::kCold: return nullptr;
  }
  return nullptr;
}

void Room::set_charge(std::size_t index, const Charge* charge) {
  if (charges_[index] != nullptr) usage_.remove(*charges_[index]);
  if (charge != nullptr) usage_.add(*charge);
  charges_[index] = charge;
}

void Room::move(std::size_t index, Residency to) {
  set_charge(index, charge_at(index, to));
  places_[index] = to;
  const bool counted = to == Residency::kHot;
  if (counted != counted_[index]) loaded_ = counted ? loaded_ + 1 : loaded_ - 1;
  counted_[index] = counted;
}

bool Room::count_fits(std::size_t index) const {
  return snapshot_->models_max == 0 || loaded_ + (counted_[index] ? 0 : 1) <= snapshot_->models_max;
}

bool Room::count_within() const { return snapshot_->models_max == 0 || loaded_ <= snapshot_->models_max; }

bool Room::fits(std::size_t index) {
  if (!count_fits(index)) return false;
  const Charge* before = charges_[index];
  set_charge(index, &snapshot_->candidates[index].footprint->hot);
  const bool within = usage_.within(snapshot_->budgets);
  set_charge(index, before);
  return within;
}

std::optional<Error> never_fits(const Snapshot& snapshot, std::size_t index) {
  Room room(snapshot);
  std::vector<std::string> pinned;
  for (std::size_t i = 0; i < snapshot.candidates.size(); ++i) {
    if (i == index) {
      room.move(i, Residency::kCold);
    } else if (!stays(snapshot.candidates[i])) {
      room.move(i, Residency::kCold);
    } else if (room.at(i) == Residency::kHot) {
      pinned.push_back(snapshot.candidates[i].name);
    }
  }
  if (!room.count_fits(index)) {
    return Error{ErrorCode::kDoesNotFit,
                 fmt::format("model '{}' cannot be loaded: at most {} may be loaded and pinned ones take all "
                             "places ({}); unpin one or raise models-max",
                             snapshot.candidates[index].name, snapshot.models_max, join_names(pinned))};
  }
  Usage with = room.usage();
  with.add(snapshot.candidates[index].footprint->hot);
  for (const auto& [device, budget] : snapshot.budgets) {
    if (with.total(device) > budget) return no_memory(snapshot, index, room.usage(), device, budget);
  }
  return std::nullopt;
}

}  // namespace switchyard::models
