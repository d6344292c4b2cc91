#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "gateway/tier.h"

// Which request gets a slot of an engine next: the virtual token counter of Sheng et al., "Fairness in
// Serving Large Language Models" (OSDI 2024), with weights, tiers, and a slot for who has just been there. A
// value: no threads, no clock, no engine.

namespace switchyard::gateway {

/// On whose behalf a request comes.
struct Party {
  std::string tenant = {};  ///< the id of a key; empty: nobody's, who are one tenant together
  double weight = 1;        ///< of the tenant: its share of the tokens, against the others'
  Tier tier = Tier::kDefault;
};

struct FairnessSettings {
  /// For so long after a tenant's last request one slot is kept free for its next one, where all others of
  /// at least two slots work for tenants that have one already. Zero: no slot is ever kept free.
  Duration keeps_a_slot_for = std::chrono::seconds(30);
  /// Batch work that has waited for so long is as urgent as any, and whoever has is before its tenant's
  /// others.
  Duration longest_yield = std::chrono::minutes(1);
};

/// The requests for one engine that wait for a slot or have one.
///
/// Invariants (fair_queue_test.cpp holds them against random histories):
///  - no more requests than slots have begun and not ended;
///  - no slot is free while somebody waits, but for one that is kept for a tenant, and for background ones;
///  - of tenants that always wait, the tokens over the weight differ by no more than what the slots can take
///    at once.
class FairQueue {
 public:
  using Id = std::uint64_t;  ///< in the order of arrival

  void set(FairnessSettings settings) { settings_ = settings; }
  /// 0: not known, all begin.
  void set_slots(std::uint32_t slots) { slots_ = slots; }
  void add(Id id, Party party, std::uint64_t prompt_tokens, TimePoint now);
  /// Of one that waits or has begun. `tokens`: what it took, prompt and reply; nothing where that is not
  /// known.
  void end(Id id, std::optional<std::uint64_t> tokens, TimePoint now);

  struct Decision {
    std::vector<Id> begin;
    std::vector<Id> give_up;  ///< background ones whose slots others want: told once
  };
  /// What is to be done after anything has changed, and as time passes.
  [[nodiscard]] Decision decide(TimePoint now);

  [[nodiscard]] std::size_t waiting() const { return requests_.size() - running_; }
  [[nodiscard]] std::size_t running() const { return running_; }
  /// Nothing is there, and what it knows of tenants has no effect any more.
  [[nodiscard]] bool forgotten(TimePoint now) const;

 private:
  struct Request {
    Party party;
    TimePoint since;
    std::uint64_t prompt_tokens = 0;
    double charged = 0;  ///< to its tenant's counter, once it has begun: in tokens over the weight
    bool running = false;
    bool told = false;  ///< to give up
  };
  struct Tenant {
    double counter = 0;   ///< tokens over the weight, those that running ones are expected to take with them
    double expected = 0;  ///< of it, of running ones
    std::uint64_t turn = 0;  ///< when one of its requests began last, counted in begins
    double reply = 64;       ///< tokens that its replies have on average
    std::uint32_t waiting = 0, running = 0;
    std::uint32_t interactive = 0;  ///< of both, those that somebody waits for
    std::optional<TimePoint> seen;  ///< one of its interactive requests, last
  };
  struct Rank;

  /// 0: somebody waits for it, or it has yielded for long enough; 1: batch work; 2: background.
  [[nodiscard]] int urgency(const Request& request, TimePoint now) const;
  [[nodiscard]] bool has_yielded_enough(const Request& request, TimePoint now) const;
  [[nodiscard]] Rank rank(Id id, const Request& request, TimePoint now) const;
  [[nodiscard]] std::optional<Id> next(TimePoint now) const;
  [[nodiscard]] bool may_take_a_slot(const Request& request, TimePoint now) const;
  [[nodiscard]] bool is_kept_for_another(const Request& request, TimePoint now) const;
  [[nodiscard]] std::size_t free_slots() const { return slots_ > running_ ? slots_ - running_ : 0; }
  [[nodiscard]] double floor_of_the_active() const;
  void begin(Request& request);
  void make_room(Decision& decision);

  FairnessSettings settings_;
  std::uint32_t slots_ = 0;
  std::uint64_t turns_ = 0;
  std::size_t running_ = 0;
  std::map<Id, Request> requests_;
  std::map<std::string, Tenant> tenants_;
  double last_counter_ = 0;  ///< of the tenant that left last
};

}  // namespace switchyard::gateway
