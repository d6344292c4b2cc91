#include "http/alert_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>

#include "alerts/alert_text.h"

namespace switchyard::http {
namespace {

Json time_json(const std::optional<alerts::WallTime>& time) {
  if (!time) return nullptr;
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(*time).time_since_epoch().count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(*time)),
                     ms % 1000);
}

Json alert_json(const alerts::Notice& notice) {
  const alerts::Alert& alert = notice.alert;
  const alerts::RuleInfo& info = info_of(alert.rule);
  return {{"rule", info.name},
          {"model", alert.model.empty() ? Json(nullptr) : Json(alert.model)},
          {"state", to_string(alert.phase)},
          {"severity", to_string(info.severity)},
          {"value", alert.value},
          {"threshold", alert.threshold},
          {"unit", to_string(info.unit)},
          {"summary", describe(alert)},
          {"since", time_json(notice.since)},
          {"fired_at", time_json(notice.fired)},
          {"resolved_at", time_json(notice.resolved)}};
}

Json rule_json(const alerts::RuleInfo& info, const alerts::RuleSettings& settings) {
  return {{"rule", info.name},
          {"off", settings.off},
          {"fires", info.fires == alerts::Fires::kAbove ? "above" : "below"},
          {"threshold", settings.threshold},
          {"unit", to_string(info.unit)},
          {"for_seconds", seconds(settings.hold)},
          {"window_seconds", seconds(settings.window)}};
}

Json webhook_json(const std::optional<alerts::Delivery>& delivery) {
  if (!delivery) return nullptr;
  return {{"sent", delivery->sent},
          {"failed", delivery->failed},
          {"dropped", delivery->dropped},
          {"queued", delivery->queued}};
}

}  // namespace

Json alerts_json(const alerts::Report& report) {
  Json alerts = Json::array(), rules = Json::array();
  for (const alerts::Notice& notice : report.alerts) alerts.push_back(alert_json(notice));
  for (const alerts::RuleInfo& info : alerts::rule_table())
    rules.push_back(rule_json(info, settings_of(report.rules, info.rule)));
  return {
      {"alerts", std::move(alerts)}, {"rules", std::move(rules)}, {"webhook", webhook_json(report.delivery)}};
}

}  // namespace switchyard::http
