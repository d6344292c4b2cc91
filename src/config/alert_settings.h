#pragma once

#include <cstdint>
#include <string>

#include "alerts/rule.h"
#include "base/clock.h"
#include "switchyard/result.h"

namespace switchyard::config {

struct ConfigFile;

struct WebhookSettings {
  std::string url;  ///< empty: none
  std::string secret;
  Duration timeout = std::chrono::seconds(5);
  std::uint32_t retries = 5;
  bool operator==(const WebhookSettings&) const = default;
};

/// What is watched and who is told, with every default filled in.
struct AlertSettings {
  alerts::Rules rules = alerts::default_rules();
  WebhookSettings webhook;
  bool operator==(const AlertSettings&) const = default;
};

/// Reads the webhook's secret: blocks. Errors: kNotFound when its file cannot be read, kInvalidArgument
/// when that is empty.
[[nodiscard]] Result<AlertSettings> build_alert_settings(const ConfigFile& file);

}  // namespace switchyard::config
