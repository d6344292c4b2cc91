#include "gateway/turns.h"

namespace switchyard::gateway {

Turns::Id Turns::enter(Applicant applicant) {
  const MutexLock lock(mutex_);
  places_.emplace(++last_, Place{.applicant = std::move(applicant)});
  return last_;
}

void Turns::wait(Id id) {
  Calls calls;
  {
    const MutexLock lock(mutex_);
    const auto found = places_.find(id);
    if (found == places_.end() || std::exchange(found->second.waits, true)) return;
    const Applicant& applicant = found->second.applicant;
    FairQueue& queue = queues_[applicant.version];
    queue.set(settings_);
    queue.set_slots(applicant.slots);
    queue.add(id, applicant.party, applicant.prompt_tokens, clock_.now());
    decide(applicant.version, calls);
  }
  for (const auto& call : calls) call();
}

void Turns::end(Id id, std::optional<std::uint64_t> tokens) {
  Calls calls;
  Place gone;  // what it holds may end with it, and must not end under the lock
  {
    const MutexLock lock(mutex_);
    const auto found = places_.find(id);
    if (found == places_.end()) return;
    gone = std::move(found->second);
    places_.erase(found);
    if (!gone.waits) return;
    queues_[gone.applicant.version].end(id, tokens, clock_.now());
    decide(gone.applicant.version, calls);
  }
  for (const auto& call : calls) call();
}

void Turns::decide(const models::VersionRef& version, Calls& calls) {
  const FairQueue::Decision decision = queues_[version].decide(clock_.now());
  for (const Id id : decision.begin) calls.push_back(std::exchange(places_.at(id).applicant.begin, {}));
  for (const Id id : decision.give_up) calls.push_back(places_.at(id).applicant.give_up);
}

void Turns::set(FairnessSettings settings) {
  const MutexLock lock(mutex_);
  settings_ = settings;
}

void Turns::look_again() {
  Calls calls;
  {
    const MutexLock lock(mutex_);
    std::erase_if(queues_, [&](const auto& each) { return each.second.forgotten(clock_.now()); });
    for (const auto& [version, queue] : queues_) decide(version, calls);
  }
  for (const auto& call : calls) call();
}

std::map<std::string, std::uint32_t> Turns::waiting() const {
  std::map<std::string, std::uint32_t> waiting;
  const MutexLock lock(mutex_);
  for (const auto& [version, queue] : queues_)
    waiting[version.model] += static_cast<std::uint32_t>(queue.waiting());
  return waiting;
}

}  // namespace switchyard::gateway
