#include "models/planner.h"

#include <algorithm>
#include <ranges>
#include <set>
#include <tuple>
#include <utility>

#include "models/eviction.h"
#include "models/lifecycle.h"
#include "models/room.h"

namespace switchyard::models {
namespace {

/// Of one that nobody has used yet.
constexpr Duration kMostUnusedResidency = std::chrono::seconds(2);
/// While models take turns, loads get at most a fifth of the time.
constexpr int kTurnPerLoad = 4;

/// Which gates are open in a search for victims.
enum class Search : std::uint8_t {
  kIdle,      ///< idle ones past their least residency
  kBusyToo,   ///< and busy ones past theirs
  kAnything,  ///< whatever may ever go: tells what the room could come to be
};

class Planning {
 public:
  explicit Planning(const Snapshot& snapshot)
      : s_(snapshot), now_room_(snapshot), gone_(s_.candidates.size()) {}

  Plan make() {
    for (std::size_t i = 0; i < s_.candidates.size(); ++i) idle_timers(i);
    over_limits();
    inspections();
    for (const std::size_t index : queue()) admit(index);
    drains();
    return std::move(plan_);
  }

 private:
  struct Victim {
    std::size_t index;
    Residency from;
    Residency to;
  };

  const Candidate& at(std::size_t index) const { return s_.candidates[index]; }

  void wake(TimePoint when) {
    if (when > s_.now && (!plan_.wake_at || when < *plan_.wake_at)) plan_.wake_at = when;
  }

  void act(Action action) { plan_.actions.push_back(std::move(action)); }

  void idle_timers(std::size_t index) {
    const Candidate& c = at(index);
    const bool hot = is_idle_hot(c);
    if (!may_evict(c) || c.wanted || (!hot && c.state != State::kParked)) return;
    if (c.unload_after) {
      const TimePoint due = c.idle_since + *c.unload_after;
      if (due <= s_.now) return evict({index, now_room_.at(index), Residency::kCold}, "idle");
      wake(due);
    }
    if (hot && c.park_after) {
      const TimePoint due = c.idle_since + *c.park_after;
      if (due <= s_.now) return evict({index, Residency::kHot, Residency::kParked}, "idle");
      wake(due);
    }
  }

  /// After the limits were lowered, idle ones make way until the rest is within them. Busy ones follow
  /// when they have become idle.
  void over_limits() {
    Room room = after_leaving(now_room_, Drains::kBusyToo);
    for (const Residency from : {Residency::kHot, Residency::kParked}) {
      std::vector<std::size_t> idle;
      for (std::size_t i = 0; i < s_.candidates.size(); ++i) {
        const Candidate& c = at(i);
        const bool there = from == Residency::kHot ? is_idle_hot(c) : c.state == State::kParked;
        if (there && may_evict(c) && !c.wanted && !gone_[i]) idle.push_back(i);
      }
      std::ranges::sort(idle, {}, [&](std::size_t i) { return std::tuple(-score(i), i); });
      for (const std::size_t i : idle) {
        const bool too_many = !room.count_within();
        if (!too_many && room.memory_within()) return;
        if (from == Residency::kParked && room.memory_within()) return;
        const Residency to =
            from == Residency::kHot && at(i).can_park ? Residency::kParked : Residency::kCold;
        room.move(i, to);
        evict({i, from, to}, too_many ? "models_max" : "memory");
      }
    }
  }

  void evict(const Victim& victim, const std::string& reason) {
    gone_[victim.index] = true;
    end_[victim.index] = victim.to;
    act({.kind = victim.to == Residency::kParked ? Action::Kind::kPark : Action::Kind::kUnload,
         .index = victim.index,
         .reason = reason});
  }

  void inspections() {
    for (std::size_t i = 0; i < s_.candidates.size(); ++i) {
      const Candidate& c = at(i);
      const bool unknown =
          c.state == State::kCold || c.state == State::kFailed || (c.state == State::kParked && c.stale);
      if (c.wanted && !c.blocked && unknown && c.inspection == InspectionState::kNeeded) {
        act({.kind = Action::Kind::kInspect, .index = i});
      }
    }
  }

  /// Who is ready to load, longest waiting first, the polite ones last.
  std::vector<std::size_t> queue() const {
    std::vector<std::size_t> ready;
    for (std::size_t i = 0; i < s_.candidates.size(); ++i) {
      const Candidate& c = at(i);
      const bool inspected =
          (c.state == State::kParked && !c.stale) || c.inspection == InspectionState::kDone;
      const bool out = c.state == State::kCold || c.state == State::kFailed || c.state == State::kParked;
      if (c.wanted && !c.blocked && !gone_[i] && out && inspected && c.footprint) ready.push_back(i);
    }
    std::ranges::sort(
        ready, {}, [&](std::size_t i) { return std::tuple(at(i).polite, at(i).waiting_since, at(i).order); });
    return ready;
  }

  void load(std::size_t index) {
    now_room_.move(index, Residency::kHot);
    if (future_) future_->move(index, Residency::kHot);
    act({.kind = Action::Kind::kLoad, .index = index});
  }

  /// The first that does not get in at once decides what the room is to become: those behind it may
  /// only take what it leaves.
  void block(std::size_t index, Room becomes) {
    if (future_) return;
    becomes.move(index, Residency::kHot);
    future_ = std::move(becomes);
  }

  void admit(std::size_t index) {
    if (auto error = never_fits(s_, index)) {
      act({.kind = Action::Kind::kRefuse, .index = index, .error = std::move(error)});
      return;
    }
    if (now_room_.fits(index) && (!future_ || future_->fits(index))) return load(index);
    if (future_) {  // somebody before it waits for room: its turn comes
      keep_.insert(index);
      if (at(index).polite) refuse_polite(index);
      return;
    }
    Room soon = after_leaving(now_room_, Drains::kIdleOnly);
    if (soon.fits(index)) return block(index, std::move(soon));
    if (at(index).polite) return refuse_polite(index);
    if (auto victims = find_victims(soon, index, Search::kIdle)) {
      const std::string reason = soon.count_fits(index) ? "memory" : "models_max";
      for (const Victim& victim : *victims) {
        soon.move(victim.index, victim.to);
        evict(victim, reason);
      }
      return block(index, std::move(soon));
    }
    wait_for_busy(index);
  }

  void refuse_polite(std::size_t index) {
    act({.kind = Action::Kind::kRefuse,
         .index = index,
         .error = Error{ErrorCode::kUnavailable,
                        "model '" + at(index).name + "' was not loaded in advance: there is no free room"}});
  }

  void wait_for_busy(std::size_t index) {
    keep_.insert(index);
    Room later = after_leaving(now_room_, Drains::kBusyToo);
    if (auto victims = find_victims(later, index, Search::kIdle)) {
      for (const Victim& victim : *victims) later.move(victim.index, victim.to);
      return block(index, std::move(later));
    }
    const TimePoint patience_ends = at(index).waiting_since + s_.max_wait;
    wake(patience_ends);
    if (patience_ends <= s_.now) {
      if (auto victims = find_victims(later, index, Search::kBusyToo)) {
        const std::string reason = later.count_fits(index) ? "memory" : "models_max";
        for (const Victim& victim : *victims) {
          if (at(victim.index).state == State::kHot && at(victim.index).leases > 0) {
            act({.kind = Action::Kind::kDrain,
                 .index = victim.index,
                 .reason = reason,
                 .beneficiary = index});
          }
          later.move(victim.index, victim.to);
        }
        return block(index, std::move(later));
      }
    }
    if (auto victims = find_victims(later, index, Search::kAnything)) {
      for (const Victim& victim : *victims) later.move(victim.index, victim.to);
    }
    block(index, std::move(later));
  }

  enum class Drains : std::uint8_t { kIdleOnly, kBusyToo };

  /// The room once everything that leaves has left.
  Room after_leaving(Room room, Drains which) const {
    for (std::size_t i = 0; i < s_.candidates.size(); ++i) {
      const Candidate& c = at(i);
      if (gone_[i]) {
        room.move(i, end_[i]);
      } else if (c.lost) {
        continue;
      } else if (c.broken) {
        room.move(i, Residency::kCold);
      } else if (c.state == State::kUnloading) {
        room.move(i, Residency::kCold);
      } else if (c.state == State::kDraining && (c.leaving || c.leases == 0 || which == Drains::kBusyToo)) {
        room.move(i, c.drains_to_cold || !c.can_park ? Residency::kCold : Residency::kParked);
      }
    }
    return room;
  }

  TimePoint residency_ends(const Candidate& c) const {
    if (s_.min_residency) return c.hot_since + *s_.min_residency;
    if (c.leases == 0 && c.used) return c.hot_since;
    if (c.leases == 0) return c.hot_since + std::min(c.came_back_in, kMostUnusedResidency);
    return c.hot_since + std::min<Duration>(c.came_back_in * kTurnPerLoad, s_.max_wait);
  }

  /// Those that may be parked, the best first.
  std::vector<std::size_t> parkable(const Room& room, std::size_t index, Search search) {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < s_.candidates.size(); ++i) {
      const Candidate& c = at(i);
      if (i == index || gone_[i] || !may_evict(c) || room.at(i) != Residency::kHot) continue;
      if (search == Search::kAnything) {
        found.push_back(i);
        continue;
      }
      if (c.state != State::kHot || (c.leases > 0 && search == Search::kIdle)) continue;
      const TimePoint free_at = residency_ends(c);
      wake(free_at);
      if (free_at <= s_.now) found.push_back(i);
    }
    std::ranges::sort(found, {}, [&](std::size_t i) { return std::tuple(at(i).leases, -score(i), i); });
    return found;
  }

  double score(std::size_t index) const { return eviction_score(at(index), s_.now); }

  /// The fewest and cheapest that make room for `index`, or nothing when all would not be enough.
  std::optional<std::vector<Victim>> find_victims(Room room, std::size_t index, Search search) {
    std::vector<Victim> victims;
    for (const std::size_t i : parkable(room, index, search)) {
      if (room.fits(index)) break;
      const Residency to = at(i).can_park ? Residency::kParked : Residency::kCold;
      victims.push_back({i, Residency::kHot, to});
      room.move(i, to);
    }
    if (!room.fits(index)) {
      std::vector<std::size_t> parked;
      for (std::size_t i = 0; i < s_.candidates.size(); ++i) {
        if (i != index && !gone_[i] && may_evict(at(i)) && room.at(i) == Residency::kParked)
          parked.push_back(i);
      }
      std::ranges::sort(parked, {}, [&](std::size_t i) { return std::tuple(at(i).wanted, -score(i), i); });
      for (const std::size_t i : parked) {
        if (room.fits(index)) break;
        victims.push_back({i, Residency::kParked, Residency::kCold});
        room.move(i, Residency::kCold);
      }
    }
    if (!room.fits(index)) return std::nullopt;
    return prune(room, index, victims);
  }

  /// Takes back what turned out not to be needed: unloads, then the busiest, then the dearest.
  std::vector<Victim> prune(Room& room, std::size_t index, const std::vector<Victim>& victims) {
    std::vector<Victim> needed;
    for (const Victim& victim : std::views::reverse(victims)) {
      if (room.at(victim.index) != victim.to) {  // its unload is needed, so this step is part of it
        continue;
      }
      room.move(victim.index, victim.from);
      if (room.fits(index)) continue;
      room.move(victim.index, victim.to);
      needed.push_back(
          {victim.index, at(victim.index).state == State::kHot ? Residency::kHot : victim.from, victim.to});
    }
    return needed;
  }

  void drains() {
    for (std::size_t i = 0; i < s_.candidates.size(); ++i) {
      const Candidate& c = at(i);
      if (c.state != State::kDraining || c.leaving || gone_[i]) continue;
      const bool needless = (c.drain == DrainCause::kRoom &&
                             (!c.drains_for || (!keep_.contains(*c.drains_for) && c.leases > 0))) ||
                            (c.drain == DrainCause::kYielding && c.wanted);
      if (needless) {
        act({.kind = Action::Kind::kCallOff, .index = i});
      } else if (c.leases == 0) {
        act({.kind = Action::Kind::kFinishDrain, .index = i});
      }
    }
  }

  const Snapshot& s_;
  Plan plan_;
  Room now_room_;
  std::vector<bool> gone_;  // told to leave by this plan
  std::vector<Residency> end_ = std::vector<Residency>(s_.candidates.size(), Residency::kCold);
  std::optional<Room> future_;  // what the room becomes for the first that must wait
  std::set<std::size_t> keep_;  // who still needs busy ones to drain
};

}  // namespace

Plan make_plan(const Snapshot& snapshot) { return Planning(snapshot).make(); }

}  // namespace switchyard::models
