#include "cli/alerting.h"

#include <utility>

#include "base/host_memory.h"
#include "webhook/body.h"
#include "webhook/http_post.h"

namespace switchyard::cli {
namespace {

constexpr std::chrono::seconds kInterval{1};

std::optional<double> share(ByteSize part, ByteSize whole) {
  if (whole.bytes() == 0) return std::nullopt;
  return static_cast<double>(part.bytes()) / static_cast<double>(whole.bytes());
}

alerts::Gauges read_gauges(const models::Manager& manager) {
  const HostMemory memory = host_memory();
  return {.memory_used = share(memory.total - memory.available, memory.total),
          .budget_reserved = share(manager.reserved(), manager.limits().memory_budget)};
}

std::shared_ptr<webhook::Sender> make_webhook(const config::WebhookSettings& settings) {
  if (settings.url.empty()) return nullptr;
  const auto timeout = std::chrono::ceil<std::chrono::milliseconds>(settings.timeout);
  return std::make_shared<webhook::Sender>(
      webhook::make_http_post(settings.url, timeout),
      webhook::SenderOptions{.secret = settings.secret, .retry = {.retries = settings.retries}});
}

}  // namespace

Alerting::Alerting(telemetry::EventBus& events, models::Manager& manager,
                   const config::AlertSettings& settings)
    : webhook_settings_(settings.webhook),
      webhook_(make_webhook(settings.webhook)),
      monitor_({.events = events,
                .gauges = [&manager] { return read_gauges(manager); },
                .notify =
                    [this](const alerts::Notice& notice) {
                      if (const auto hook = webhook()) hook->send(webhook::notification_body(notice));
                    }},
               settings.rules),
      timer_("alerts", kInterval, [this] { monitor_.evaluate(); }) {}

void Alerting::apply(const config::AlertSettings& settings) {
  monitor_.set_rules(settings.rules);
  std::shared_ptr<webhook::Sender> former;  // ends without the lock
  const MutexLock lock(mutex_);
  if (settings.webhook == webhook_settings_) return;
  webhook_settings_ = settings.webhook;
  former = std::exchange(webhook_, make_webhook(settings.webhook));
}

std::shared_ptr<webhook::Sender> Alerting::webhook() const {
  const MutexLock lock(mutex_);
  return webhook_;
}

void Alerting::observe(const gateway::RequestRecord& record) {
  if (record.version.model.empty()) return;
  monitor_.request({.model = record.version.model,
                    .queued = record.queued,
                    .first_token = gateway::first_token(record),
                    .failed = gateway::failed_by_server(record)});
}

alerts::Report Alerting::report() const {
  alerts::Report report = monitor_.report();
  if (const auto hook = webhook()) report.delivery = hook->stats();
  return report;
}

}  // namespace switchyard::cli
