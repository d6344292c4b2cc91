#include "gateway/fair_queue.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace switchyard::gateway {

static constexpr double kLastRepliesWeigh = 0.2;  // of the newest one in a tenant's average

/// The least is next.
struct FairQueue::Rank {
  int urgency = 0;
  double counter = 0;
  std::uint64_t turn = 0;  ///< of its tenant: of equals, whose last one is longer ago
  Tier tier = Tier::kDefault;
  Id id = 0;
  auto operator<=>(const Rank&) const = default;
};

int FairQueue::urgency(const Request& request, TimePoint now) const {
  if (request.party.tier == Tier::kBackground) return 2;
  return is_interactive(request.party.tier) || has_yielded_enough(request, now) ? 0 : 1;
}

bool FairQueue::has_yielded_enough(const Request& request, TimePoint now) const {
  return now - request.since >= settings_.longest_yield;
}

FairQueue::Rank FairQueue::rank(Id id, const Request& request, TimePoint now) const {
  const Tenant& tenant = tenants_.at(request.party.tenant);
  const Tier tier = has_yielded_enough(request, now) ? Tier::kPriority : request.party.tier;
  return {urgency(request, now), tenant.counter, tenant.turn, tier, id};
}

/// A tenant that comes anew gets no credit for the time in which it asked for nothing, and pays for no guess.
double FairQueue::floor_of_the_active() const {
  std::optional<double> least;
  for (const auto& [name, tenant] : tenants_) {
    const double taken = tenant.counter - tenant.expected;
    if (tenant.waiting + tenant.running > 0) least = std::min(least.value_or(taken), taken);
  }
  return least.value_or(last_counter_);
}

void FairQueue::add(Id id, Party party, std::uint64_t prompt_tokens, TimePoint now) {
  const double floor = floor_of_the_active();
  Tenant& tenant = tenants_[party.tenant];
  if (tenant.waiting + tenant.running == 0) tenant.counter = std::max(tenant.counter, floor);
  ++tenant.waiting;
  if (is_interactive(party.tier)) {
    ++tenant.interactive;
    tenant.seen = now;
  }
  requests_.emplace(id, Request{.party = std::move(party), .since = now, .prompt_tokens = prompt_tokens});
}

void FairQueue::begin(Request& request) {
  Tenant& tenant = tenants_.at(request.party.tenant);
  request.running = true;
  request.charged = (static_cast<double>(request.prompt_tokens) + tenant.reply) / request.party.weight;
  tenant.counter += request.charged;
  tenant.expected += request.charged;
  tenant.turn = ++turns_;
  --tenant.waiting;
  ++tenant.running;
  ++running_;
}

void FairQueue::end(Id id, std::optional<std::uint64_t> tokens, TimePoint now) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  const Request& request = found->second;
  Tenant& tenant = tenants_.at(request.party.tenant);
  if (request.running) {
    --tenant.running;
    --running_;
    tenant.expected -= request.charged;
    if (tokens) {
      const auto taken = static_cast<double>(*tokens);
      tenant.counter += taken / request.party.weight - request.charged;
      const double reply = std::max(0.0, taken - static_cast<double>(request.prompt_tokens));
      tenant.reply += kLastRepliesWeigh * (reply - tenant.reply);
    }
  } else {
    --tenant.waiting;
  }
  if (is_interactive(request.party.tier)) {
    --tenant.interactive;
    tenant.seen = now;
  }
  if (tenant.waiting + tenant.running == 0) last_counter_ = tenant.counter;
  requests_.erase(found);
}

/// The last free slot, for somebody who has been here and has none: another tenant, or, against batch work,
/// whoever waits for replies.
bool FairQueue::is_kept_for_another(const Request& request, TimePoint now) const {
  const bool batch = urgency(request, now) > 0;
  if (slots_ < 2 || free_slots() > 1) return false;
  if (!batch && tenants_.at(request.party.tenant).running == 0) return false;
  if (batch && std::ranges::any_of(tenants_, [](const auto& each) { return each.second.interactive > 0; }))
    return false;  // one works, and gives its slot to the next
  return std::ranges::any_of(tenants_, [&](const auto& each) {
    const auto& [name, tenant] = each;
    const bool is_away = tenant.waiting + tenant.running == 0 && name != request.party.tenant;
    const bool precedes = batch ? tenant.interactive == 0 : is_away;
    return precedes && tenant.seen && now - *tenant.seen < settings_.keeps_a_slot_for;
  });
}

bool FairQueue::may_take_a_slot(const Request& request, TimePoint now) const {
  if (slots_ == 0) return true;
  if (request.party.tier == Tier::kBackground)
    return free_slots() > 1 || (slots_ == 1 && free_slots() == 1 && waiting() == 1);
  return free_slots() > 0 && !is_kept_for_another(request, now);
}

std::optional<FairQueue::Id> FairQueue::next(TimePoint now) const {
  std::optional<int> most_urgent;
  std::optional<Rank> best;
  for (const auto& [id, request] : requests_) {
    if (request.running) continue;
    const Rank its = rank(id, request, now);
    most_urgent = std::min(most_urgent.value_or(its.urgency), its.urgency);
    if ((!best || its < *best) && may_take_a_slot(request, now)) best = its;
  }
  // What is kept from the more urgent is not the others' either.
  if (!best || best->urgency > most_urgent) return std::nullopt;
  return best->id;
}

void FairQueue::make_room(Decision& decision) {
  std::size_t wanted = 0;
  for (const auto& [id, request] : requests_)
    wanted += !request.running && request.party.tier != Tier::kBackground ? 1 : 0;
  for (auto& [id, request] : requests_) {
    const bool may_end = request.running && request.party.tier == Tier::kBackground;
    if (wanted == 0) return;
    if (!may_end) continue;
    --wanted;
    if (!std::exchange(request.told, true)) decision.give_up.push_back(id);
  }
}

FairQueue::Decision FairQueue::decide(TimePoint now) {
  Decision decision;
  while (const auto id = next(now)) {
    begin(requests_.at(*id));
    decision.begin.push_back(*id);
  }
  make_room(decision);
  return decision;
}

bool FairQueue::forgotten(TimePoint now) const {
  const Duration remembered = std::max<Duration>(settings_.keeps_a_slot_for, std::chrono::minutes(1));
  return requests_.empty() && std::ranges::all_of(tenants_, [&](const auto& each) {
           return !each.second.seen || now - *each.second.seen >= remembered;
         });
}

}  // namespace switchyard::gateway
