#include "config/alert_settings.h"

#include <fmt/format.h>

#include <fstream>

#include "config/config_file.h"

namespace switchyard::config {
namespace {

Result<std::string> secret_in(const std::string& path) {
  std::ifstream file(path);
  std::string secret;
  if (!file) return fail(ErrorCode::kNotFound, fmt::format("alerts: secret file '{}' cannot be read", path));
  std::getline(file, secret);
  while (!secret.empty() && (secret.back() == '\r' || secret.back() == ' ')) secret.pop_back();
  if (secret.empty())
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("alerts: secret file '{}' begins with no secret", path));
  return secret;
}

}  // namespace

Result<AlertSettings> build_alert_settings(const ConfigFile& file) {
  AlertSettings settings;
  for (std::size_t i = 0; i < settings.rules.size(); ++i) {
    alerts::RuleSettings& rule = settings.rules.at(i);
    const RuleSection& section = file.alerts.rules.at(i);
    rule.threshold = section.threshold.value_or(rule.threshold);
    rule.hold = section.hold.value_or(rule.hold);
    rule.window = section.window.value_or(rule.window);
    rule.off = section.off.value_or(rule.off);
  }
  const WebhookSection& webhook = file.alerts.webhook;
  settings.webhook.url = webhook.url.value_or("");
  settings.webhook.secret = webhook.secret.value_or("");
  settings.webhook.timeout = webhook.timeout.value_or(settings.webhook.timeout);
  settings.webhook.retries = webhook.retries.value_or(settings.webhook.retries);
  if (webhook.secret_file) {
    Result<std::string> secret = secret_in(beside(file.path, *webhook.secret_file));
    if (!secret) return std::unexpected(secret.error());
    settings.webhook.secret = std::move(*secret);
  }
  return settings;
}

}  // namespace switchyard::config
