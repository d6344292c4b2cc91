#pragma once

#include <string>
#include <vector>

#include "models/planner.h"

namespace switchyard::models {

/// What would be in memory if the versions of a snapshot came and went: the planner's scratch paper.
/// Copyable; the snapshot must outlive it.
class Room {
 public:
  explicit Room(const Snapshot& snapshot);

  void move(std::size_t index, Residency to);
  [[nodiscard]] Residency at(std::size_t index) const { return places_[index]; }
  /// Whether `index` could become hot beside everything else.
  [[nodiscard]] bool fits(std::size_t index);
  [[nodiscard]] bool count_fits(std::size_t index) const;
  /// Whether what is there is within the limits.
  [[nodiscard]] bool count_within() const;
  [[nodiscard]] bool memory_within() const { return usage_.within(snapshot_->budgets); }
  [[nodiscard]] const Usage& usage() const { return usage_; }

 private:
  [[nodiscard]] const Charge* charge_at(std::size_t index, Residency place) const;
  void set_charge(std::size_t index, const Charge* charge);

  const Snapshot* snapshot_;
  Usage usage_;
  std::size_t loaded_ = 0;
  std::vector<const Charge*> charges_;
  std::vector<Residency> places_;
  std::vector<bool> counted_;
};

/// The refusal of `index` when it could not become hot even with everything evicted that may be.
[[nodiscard]] std::optional<Error> never_fits(const Snapshot& snapshot, std::size_t index);

}  // namespace switchyard::models
