#include "webhook/body.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "alerts/alert_text.h"

namespace switchyard::webhook {
namespace {

using Json = nlohmann::ordered_json;

std::string rfc3339(alerts::WallTime time) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time).time_since_epoch().count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(time)),
                     ms % 1000);
}

}  // namespace

std::string notification_body(const alerts::Notice& notice) {
  const alerts::Alert& alert = notice.alert;
  const alerts::RuleInfo& info = info_of(alert.rule);
  const std::string status = alert.phase == alerts::Phase::kResolved ? "resolved" : "firing";
  const Json group = {{"alertname", info.name}};
  Json labels = {{"alertname", info.name}, {"severity", to_string(info.severity)}};
  if (!alert.model.empty()) labels["model"] = alert.model;
  const Json annotations = {{"summary", describe(alert)},
                            {"value", fmt::format("{:g}", alert.value)},
                            {"threshold", fmt::format("{:g}", alert.threshold)},
                            {"unit", to_string(info.unit)}};
  const std::string fingerprint = fmt::format("{}/{}", info.name, alert.model);
  // Go's zero time is how Alertmanager writes that there is no end.
  const Json one = {{"status", status},
                    {"labels", labels},
                    {"annotations", annotations},
                    {"startsAt", rfc3339(notice.fired.value_or(notice.since))},
                    {"endsAt", notice.resolved ? rfc3339(*notice.resolved) : "0001-01-01T00:00:00Z"},
                    {"generatorURL", ""},
                    {"fingerprint", fingerprint}};
  const Json body = {
      {"version", "4"},           {"groupKey", fmt::format("{{}}:{{alertname=\"{}\"}}", info.name)},
      {"truncatedAlerts", 0},     {"status", status},
      {"receiver", "switchyard"}, {"groupLabels", group},
      {"commonLabels", labels},   {"commonAnnotations", annotations},
      {"externalURL", ""},        {"alerts", Json::array({one})}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace switchyard::webhook
