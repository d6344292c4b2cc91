#include "config/alerts_section.h"

#include <charconv>
#include <utility>

#include "config/duration.h"
#include "config/section.h"

namespace switchyard::config {
namespace {

using alerts::Rule;
using alerts::Unit;

constexpr Duration kLongestWindow = std::chrono::days(1);

/// A number, or a share as "80%".
std::optional<double> parse_number(std::string_view text) {
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0)) return std::nullopt;
  return percent ? value / 100 : value;
}

void read_threshold(YamlReader& reader, const YAML::Node& node, Unit unit, std::optional<double>& out) {
  std::optional<std::string> text;
  reader.read(node, text);
  if (!text) return;
  if (unit == Unit::kSeconds) {
    const Result<Duration> duration = parse_duration(*text);
    if (!duration) return reader.report(node, duration.error().message);
    out = std::chrono::duration<double>(*duration).count();
    return;
  }
  const std::optional<double> number = parse_number(*text);
  if (unit == Unit::kRatio && (!number || *number > 1))
    return reader.report(node, fmt::format("'{}' is no share; write 80% or 0.8", *text));
  if (!number) return reader.report(node, fmt::format("'{}' is not a number from 0 up", *text));
  out = number;
}

void read_span(YamlReader& reader, const YAML::Node& node, std::optional<Duration>& out) {
  std::optional<Duration> span;
  reader.read(node, span);
  if (span && *span > kLongestWindow) return reader.report(node, "at most 24h are watched");
  if (span) out = span;
}

constexpr std::string_view kThreshold =
    "From where on it is told: a duration (`10s`), a share (`80%`, `0.8`) or a number.";

/// The keys of one rule; the unit of its threshold is the rule's.
template <Unit unit>
constexpr Key<RuleSection> kRule[] = {
    {"threshold", "duration, share or number", "see above", kThreshold,
     [](YamlReader& reader, const YAML::Node& node, RuleSection& rule) {
       read_threshold(reader, node, unit, rule.threshold);
     }},
    {"for", "duration", "see above",
     "How long it must hold before the alert fires; until then it is pending.",
     [](YamlReader& reader, const YAML::Node& node, RuleSection& rule) {
       read_span(reader, node, rule.hold);
     }},
    {"window", "duration", "see above", "The value is made of what happened in this last while.",
     [](YamlReader& reader, const YAML::Node& node, RuleSection& rule) {
       read_span(reader, node, rule.window);
       if (rule.window == Duration::zero()) reader.report(node, "a window must be above 0");
     }},
    {"off", "true or false", "false", "The rule is not watched.", SWITCHYARD_READ(off)},
};

std::span<const Key<RuleSection>> keys_of(Unit unit) {
  switch (unit) {
    case Unit::kSeconds: return kRule<Unit::kSeconds>;
    case Unit::kRatio: return kRule<Unit::kRatio>;
    case Unit::kCount: return kRule<Unit::kCount>;
  }
  return {};
}

template <Rule rule>
void read_rule(YamlReader& reader, const YAML::Node& node, AlertsSection& section) {
  const alerts::RuleInfo& info = alerts::info_of(rule);
  read_section(reader, node, fmt::format("alerts.{}", info.name),
               section.rules[static_cast<std::size_t>(rule)], keys_of(info.unit));
}

constexpr Key<WebhookSection> kWebhook[] = {
    {"url", "text", "none", "`http://` or `https://` address that alerts are POSTed to.",
     [](YamlReader& reader, const YAML::Node& node, WebhookSection& webhook) {
       reader.read(node, webhook.url);
       const bool is_http =
           !webhook.url || webhook.url->starts_with("http://") || webhook.url->starts_with("https://");
       if (!is_http) reader.report(node, "the address must begin with http:// or https://");
     }},
    {"secret", "text", "none", "Signs the bodies with HMAC-SHA256.", SWITCHYARD_READ(secret)},
    {"secret_file", "path", "none", "File with the secret in its first line, instead.",
     SWITCHYARD_READ(secret_file)},
    {"timeout", "duration", "5s", "Longest wait for one answer.",
     [](YamlReader& reader, const YAML::Node& node, WebhookSection& webhook) {
       read_span(reader, node, webhook.timeout);
       if (webhook.timeout == Duration::zero()) reader.report(node, "the timeout must be above 0");
     }},
    {"retries", "count", "5", "Further attempts at one alert, 1s, 2s, 4s ... apart (at most 30s).",
     SWITCHYARD_READ(retries)},
};

void read_webhook(YamlReader& reader, const YAML::Node& node, AlertsSection& section) {
  WebhookSection& webhook = section.webhook;
  read_section(reader, node, "alerts.webhook", webhook, kWebhook);
  if (webhook.secret && webhook.secret_file)
    reader.report(node, "give the webhook's secret or its secret_file, not both");
  if (!webhook.url && (webhook.secret || webhook.secret_file || webhook.timeout || webhook.retries))
    reader.report(node, "the webhook needs a url");
}

constexpr std::string_view kSection = "section";

constexpr Key<AlertsSection> kAlerts[] = {
    {"model_load_time", kSection, "above 10s, window 10m",
     "The longest load of each model, one that still runs included.", read_rule<Rule::kModelLoadTime>},
    {"memory", kSection, "above 80% for 1m, window 30s",
     "The share of the system's memory (or of the cgroup's limit) that is in use.", read_rule<Rule::kMemory>},
    {"inference_latency", kSection, "above 1s for 1m, window 5m",
     "Each model's time to the first token (95th percentile of streamed replies, from the engine on).",
     read_rule<Rule::kInferenceLatency>},
    {"switch_success", kSection, "below 99.9%, window 1h", "The share of switches that succeeded.",
     read_rule<Rule::kSwitchSuccess>},
    {"queue_wait", kSection, "above 10s for 1m, window 5m",
     "How long each model's requests wait for an engine (95th percentile), loads included.",
     read_rule<Rule::kQueueWait>},
    {"error_rate", kSection, "above 5% for 1m, window 5m",
     "The share of each model's requests that failed by the server's fault (5xx, replies cut short).",
     read_rule<Rule::kErrorRate>},
    {"engine_restarts", kSection, "above 2, window 15m", "How often each model's engine was started again.",
     read_rule<Rule::kEngineRestarts>},
    {"memory_budget", kSection, "above 95% for 10m, window 1m",
     "The share of the memory budget that is reserved.", read_rule<Rule::kMemoryBudget>},
    {"webhook", kSection, "none", "Who is told of alerts that fire and are resolved.", read_webhook},
};
static_assert(std::size(kAlerts) == alerts::kRuleCount + 1);

}  // namespace

void read_alerts(YamlReader& reader, const YAML::Node& node, AlertsSection& section) {
  read_section(reader, node, "alerts", section, kAlerts);
}

void document_alerts(std::vector<DocumentedKey>& keys) {
  document<AlertsSection>(keys, "alerts", kAlerts);
  document<RuleSection>(keys, "alerts.RULE", kRule<Unit::kSeconds>);
  document<WebhookSection>(keys, "alerts.webhook", kWebhook);
}

}  // namespace switchyard::config
