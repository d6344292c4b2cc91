#include "cli/alerting.h"

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

std::unique_ptr<webhook::Sender> make_webhook(const config::WebhookSettings& settings) {
  if (settings.url.empty()) return nullptr;
  const auto timeout = std::chrono::ceil<std::chrono::milliseconds>(settings.timeout);
  return std::make_unique<webhook::Sender>(
      webhook::make_http_post(settings.url, timeout),
      webhook::SenderOptions{.secret = settings.secret, .retry = {.retries = settings.retries}});
}

}  // namespace

Alerting::Alerting(telemetry::EventBus& events, models::Manager& manager,
                   const config::AlertSettings& settings)
    : webhook_(make_webhook(settings.webhook)),
      monitor_({.events = events,
                .gauges = [&manager] { return read_gauges(manager); },
                .notify =
                    [this](const alerts::Notice& notice) {
                      if (webhook_) webhook_->send(webhook::notification_body(notice));
                    }},
               settings.rules),
      timer_("alerts", kInterval, [this] { monitor_.evaluate(); }) {}

void Alerting::observe(const gateway::RequestRecord& record) {
  if (record.version.model.empty()) return;
  monitor_.request({.model = record.version.model,
                    .queued = record.queued,
                    .first_token = gateway::first_token(record),
                    .failed = gateway::failed_by_server(record)});
}

alerts::Report Alerting::report() const {
  alerts::Report report = monitor_.report();
  if (webhook_) report.delivery = webhook_->stats();
  return report;
}

}  // namespace switchyard::cli
