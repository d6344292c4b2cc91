#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "engine/api/engine.h"

namespace switchyard::models {

enum class MemoryKind : std::uint8_t {
  kWeightsMapped,
  kWeightsPrivate,
  kVocabulary,
  kContext,
  kCompute,
  kPromptCache,
};
inline constexpr std::size_t kMemoryKinds = 6;
using BytesByKind = std::array<ByteSize, kMemoryKinds>;  ///< indexed by MemoryKind

/// What one version takes or would take, per device. Weights and vocabulary belong to the copy named
/// by `weights_key` and are counted once for all that share it; an empty key shares with nobody.
struct Charge {
  std::string weights_key;
  std::map<std::string, BytesByKind> devices;

  [[nodiscard]] ByteSize total() const;
  bool operator==(const Charge&) const = default;
};

/// A version's charge while it is loading, warming, hot or draining: every kind.
[[nodiscard]] Charge hot_charge(const engine::Inspection& inspection);
/// And while parked: vocabulary, private weights, mapped weights on devices other than the host. Those
/// on the host are clean pages that parking gives back.
[[nodiscard]] Charge parked_charge(const engine::Inspection& inspection);
/// The same where the host's private weights were given back, too (engine::Weights::copies_dropped).
[[nodiscard]] Charge without_copies(Charge parked);

/// Most bytes per device; a device that is not named has no bound.
using Budgets = std::map<std::string, ByteSize>;

/// A sum of charges: plain values, to be copied and tried out. Not thread-safe.
class Usage {
 public:
  void add(const Charge& charge);
  /// `charge` must have been added.
  void remove(const Charge& charge);
  [[nodiscard]] ByteSize total(const std::string& device) const;
  [[nodiscard]] const std::map<std::string, BytesByKind>& by_kind() const { return totals_; }
  [[nodiscard]] bool within(const Budgets& budgets) const;

 private:
  using Devices = std::map<std::string, BytesByKind>;
  [[nodiscard]] Devices shared_part(const std::string& weights_key) const;
  void change_shared(const Devices& before, const Devices& after);

  Devices totals_;
  std::map<std::string, std::vector<Charge>> sharers_;  // by weights_key
};

class Ledger;

/// Bytes set aside in a ledger, given back by the destructor. Move-only; not thread-safe itself. The
/// ledger must outlive it.
class MemoryReservation {
 public:
  MemoryReservation() = default;
  ~MemoryReservation() { release(); }
  MemoryReservation(MemoryReservation&& other) noexcept;
  MemoryReservation& operator=(MemoryReservation&& other) noexcept;

  [[nodiscard]] bool empty() const { return ledger_ == nullptr; }
  [[nodiscard]] const Charge& charge() const { return charge_; }
  /// Holds `smaller` instead from now on.
  void shrink_to(Charge smaller);
  void release();

 private:
  friend class Ledger;
  Ledger* ledger_ = nullptr;
  Charge charge_;
};

/// Who has reserved what. Any thread; its lock is a leaf.
class Ledger {
 public:
  /// Sets `charge` aside, in the place of what `instead_of` holds (which is then empty). Errors:
  /// kDoesNotFit when it would pass `budgets`; nothing has changed then.
  [[nodiscard]] Result<MemoryReservation> reserve(Charge charge, const Budgets& budgets,
                                                  MemoryReservation& instead_of);
  [[nodiscard]] Usage usage() const;
  [[nodiscard]] ByteSize reserved(const std::string& device) const;

 private:
  friend class MemoryReservation;
  mutable Mutex mutex_;
  Usage usage_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::models
