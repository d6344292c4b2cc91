#include "models/budget.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace switchyard::models {
namespace {

constexpr std::size_t kSharedKinds = 3;  // the first three kinds belong to the weights
static_assert(static_cast<std::size_t>(MemoryKind::kVocabulary) == kSharedKinds - 1);

ByteSize& at(BytesByKind& bytes, MemoryKind kind) { return bytes[static_cast<std::size_t>(kind)]; }

ByteSize sum(const BytesByKind& bytes) {
  ByteSize total;
  for (const ByteSize size : bytes) total += size;
  return total;
}

}  // namespace

ByteSize Charge::total() const {
  ByteSize total;
  for (const auto& [device, bytes] : devices) total += sum(bytes);
  return total;
}

Charge hot_charge(const engine::Inspection& inspection) {
  Charge charge{.weights_key = inspection.weights_key, .devices = {}};
  for (const auto& item : inspection.need.items) {
    BytesByKind& bytes = charge.devices[item.device];
    at(bytes, MemoryKind::kWeightsMapped) += item.weights_mapped;
    at(bytes, MemoryKind::kWeightsPrivate) += item.weights_private;
    at(bytes, MemoryKind::kVocabulary) += item.vocabulary;
    at(bytes, MemoryKind::kContext) += item.context;
    at(bytes, MemoryKind::kCompute) += item.compute;
    at(bytes, MemoryKind::kPromptCache) += item.prompt_cache;
  }
  return charge;
}

Charge parked_charge(const engine::Inspection& inspection) {
  Charge charge = hot_charge(inspection);
  for (auto& [device, bytes] : charge.devices) {
    if (device == "host") at(bytes, MemoryKind::kWeightsMapped) = ByteSize();
    for (std::size_t kind = kSharedKinds; kind < kMemoryKinds; ++kind) bytes[kind] = ByteSize();
  }
  return charge;
}

Charge without_copies(Charge parked) {
  if (const auto host = parked.devices.find("host"); host != parked.devices.end()) {
    at(host->second, MemoryKind::kWeightsPrivate) = ByteSize();
  }
  return parked;
}

Usage::Devices Usage::shared_part(const std::string& weights_key) const {
  Devices most;
  const auto sharers = sharers_.find(weights_key);
  if (sharers == sharers_.end()) return most;
  for (const Charge& charge : sharers->second) {
    for (const auto& [device, bytes] : charge.devices) {
      BytesByKind& entry = most[device];
      for (std::size_t kind = 0; kind < kSharedKinds; ++kind)
        entry[kind] = std::max(entry[kind], bytes[kind]);
    }
  }
  return most;
}

void Usage::change_shared(const Devices& before, const Devices& after) {
  for (const auto& [device, bytes] : after) {
    for (std::size_t kind = 0; kind < kSharedKinds; ++kind) totals_[device][kind] += bytes[kind];
  }
  for (const auto& [device, bytes] : before) {
    for (std::size_t kind = 0; kind < kSharedKinds; ++kind) totals_[device][kind] -= bytes[kind];
  }
}

void Usage::add(const Charge& charge) {
  const bool shared = !charge.weights_key.empty();
  for (const auto& [device, bytes] : charge.devices) {
    for (std::size_t kind = shared ? kSharedKinds : 0; kind < kMemoryKinds; ++kind) {
      totals_[device][kind] += bytes[kind];
    }
  }
  if (!shared) return;
  const Devices before = shared_part(charge.weights_key);
  sharers_[charge.weights_key].push_back(charge);
  change_shared(before, shared_part(charge.weights_key));
}

void Usage::remove(const Charge& charge) {
  const bool shared = !charge.weights_key.empty();
  for (const auto& [device, bytes] : charge.devices) {
    for (std::size_t kind = shared ? kSharedKinds : 0; kind < kMemoryKinds; ++kind) {
      totals_[device][kind] -= bytes[kind];
    }
  }
  if (!shared) return;
  const Devices before = shared_part(charge.weights_key);
  auto& sharers = sharers_[charge.weights_key];
  const auto found = std::ranges::find(sharers, charge);
  assert(found != sharers.end());
  if (found != sharers.end()) sharers.erase(found);
  if (sharers.empty()) sharers_.erase(charge.weights_key);
  change_shared(before, shared_part(charge.weights_key));
}

ByteSize Usage::total(const std::string& device) const {
  const auto found = totals_.find(device);
  return found == totals_.end() ? ByteSize() : sum(found->second);
}

bool Usage::within(const Budgets& budgets) const {
  return std::ranges::all_of(budgets,
                             [&](const auto& budget) { return total(budget.first) <= budget.second; });
}

MemoryReservation::MemoryReservation(MemoryReservation&& other) noexcept
    : ledger_(std::exchange(other.ledger_, nullptr)), charge_(std::move(other.charge_)) {}

MemoryReservation& MemoryReservation::operator=(MemoryReservation&& other) noexcept {
  if (this != &other) {
    release();
    ledger_ = std::exchange(other.ledger_, nullptr);
    charge_ = std::move(other.charge_);
  }
  return *this;
}

void MemoryReservation::shrink_to(Charge smaller) {
  if (ledger_ == nullptr) return;
  const MutexLock lock(ledger_->mutex_);
  ledger_->usage_.remove(charge_);
  ledger_->usage_.add(smaller);
  charge_ = std::move(smaller);
}

void MemoryReservation::release() {
  if (ledger_ == nullptr) return;
  const MutexLock lock(ledger_->mutex_);
  ledger_->usage_.remove(charge_);
  ledger_ = nullptr;
}

Result<MemoryReservation> Ledger::reserve(Charge charge, const Budgets& budgets,
                                          MemoryReservation& instead_of) {
  const MutexLock lock(mutex_);
  if (!instead_of.empty()) usage_.remove(instead_of.charge_);
  usage_.add(charge);
  if (!usage_.within(budgets)) {
    usage_.remove(charge);
    if (!instead_of.empty()) usage_.add(instead_of.charge_);
    return fail(ErrorCode::kDoesNotFit, "the memory budget has no room for " + charge.total().to_string());
  }
  instead_of.ledger_ = nullptr;
  MemoryReservation reservation;
  reservation.ledger_ = this;
  reservation.charge_ = std::move(charge);
  return reservation;
}

Usage Ledger::usage() const {
  const MutexLock lock(mutex_);
  return usage_;
}

ByteSize Ledger::reserved(const std::string& device) const {
  const MutexLock lock(mutex_);
  return usage_.total(device);
}

}  // namespace switchyard::models
