#pragma once

#include <memory>

#include "alerts/monitor.h"
#include "base/mutex.h"
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
  /// Holds at once. What a webhook that is left had not yet taken is lost, and the log says so.
  void apply(const config::AlertSettings& settings) EXCLUDES(mutex_);
  [[nodiscard]] alerts::Report report() const;

 private:
  [[nodiscard]] std::shared_ptr<webhook::Sender> webhook() const EXCLUDES(mutex_);

  mutable Mutex mutex_;
  config::WebhookSettings webhook_settings_ GUARDED_BY(mutex_);
  std::shared_ptr<webhook::Sender> webhook_ GUARDED_BY(mutex_);  ///< null where there is none
  alerts::Monitor monitor_;
  http::Periodic timer_;  // last: ends before what it uses
};

}  // namespace switchyard::cli
