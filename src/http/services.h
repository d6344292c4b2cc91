#pragma once

#include <memory>

#include "base/executor.h"
#include "base/gate.h"
#include "engine/api/process_routes.h"
#include "experiments/recorder.h"
#include "gateway/gateway.h"
#include "health/monitor.h"
#include "http/app.h"
#include "models/manager.h"
#include "shadowing/copies.h"
#include "telemetry/event_bus.h"
#include "tenants/tenants.h"
#include "traffic/canaries.h"
#include "traffic/shadows.h"
#include "traffic/switcher.h"

namespace switchyard::http {

/// What the dialects work with; owned by the App, which outlives them and every request.
struct Services {
  const AppOptions& options;
  const LiveSettings& live;
  models::Manager& manager;
  traffic::Switcher& switcher;
  traffic::Canaries& canaries;
  traffic::Shadows& shadows;
  tenants::Tenants& tenants;
  health::Monitor& monitor;
  experiments::Recorder& experiments;
  telemetry::EventBus& events;
  gateway::Gateway& gateway;
  shadowing::Copies& copies;
  Executor& executor;  ///< for what may block
  /// For callbacks of the manager, which may come after all this is gone.
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
};

}  // namespace switchyard::http
