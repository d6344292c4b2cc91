#pragma once

#include <memory>

#include "health/monitor.h"
#include "models/manager.h"
#include "store/quarantine_store.h"
#include "telemetry/event_bus.h"

namespace switchyard::health {

/// Keeps quarantines over restarts: what failed too often is not tried again because the server was started
/// anew, but by hand or when its file or its settings are others. Any thread; no method blocks but the
/// constructor, which reads, and the destructor.
class Quarantines {
 public:
  struct Dependencies {
    models::Manager& manager;  ///< all of these must outlive it
    Monitor& monitor;
    Executor& executor;
    telemetry::EventBus& events;
    store::StateDatabase& state;
  };

  /// The manager must have its catalog. What is noted holds again when this returns.
  explicit Quarantines(Dependencies dependencies);
  ~Quarantines();
  Quarantines(const Quarantines&) = delete;
  Quarantines& operator=(const Quarantines&) = delete;

 private:
  class Impl;
  const std::shared_ptr<Impl> impl_;
};

}  // namespace switchyard::health
