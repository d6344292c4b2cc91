#pragma once

#include <memory>
#include <vector>

#include "base/strand.h"
#include "models/manager.h"
#include "store/resident_store.h"
#include "telemetry/event_bus.h"

namespace switchyard::models {

/// Notes which versions are in memory, in the order of their use, and brings them back at the next start:
/// one after the other, into free room only. Any thread; no method blocks but the destructor.
class ResidentSet {
 public:
  struct Dependencies {
    Manager& manager;  ///< all of these must outlive it
    Executor& executor;
    telemetry::EventBus& events;
    store::StateDatabase& state;
  };
  enum class Restore : std::uint8_t { kNo, kYes };

  /// The manager must have its catalog. What is noted is read here, and then noted anew.
  ResidentSet(Dependencies dependencies, Restore restore);
  ~ResidentSet();
  ResidentSet(const ResidentSet&) = delete;
  ResidentSet& operator=(const ResidentSet&) = delete;

  /// To be called now and then: use changes the order and is no event.
  void note();

 private:
  class Impl;
  const std::shared_ptr<Impl> impl_;
};

}  // namespace switchyard::models
