#pragma once

#include <memory>

#include "alerts/monitor.h"
#include "config/alert_settings.h"
#include "gateway/request_record.h"
#include "http/periodic.h"
#include "models/manager.h"
#include "telemetry/event_bus.h"
#include "webhook/sender.h"

namespace switchyard::cli {

/// The alerts of a running server: what they are fed with, the thread that looks at them every second, and
/// the webhook. Any thread.
class Alerting {
 public:
  Alerting(telemetry::EventBus& events, models::Manager& manager, const config::AlertSettings& settings);

  void observe(const gateway::RequestRecord& record);
  /// New rules hold at once; another webhook takes a restart.
  void apply(const config::AlertSettings& settings) { monitor_.set_rules(settings.rules); }
  [[nodiscard]] alerts::Report report() const;

 private:
  const std::unique_ptr<webhook::Sender> webhook_;  ///< null where there is none
  alerts::Monitor monitor_;
  http::Periodic timer_;  // last: ends before what it uses
};

}  // namespace switchyard::cli
