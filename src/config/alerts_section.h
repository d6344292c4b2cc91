#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "alerts/rule.h"
#include "base/clock.h"

namespace YAML {
class Node;
}

namespace switchyard::config {

class YamlReader;
struct DocumentedKey;

/// What the file says of one rule; the rest is the rule's own.
struct RuleSection {
  std::optional<double> threshold;
  std::optional<Duration> hold;
  std::optional<Duration> window;
  std::optional<bool> off;
};

struct WebhookSection {
  std::optional<std::string> url, secret, secret_file;
  std::optional<Duration> timeout;
  std::optional<std::uint32_t> retries;
};

struct AlertsSection {
  std::array<RuleSection, alerts::kRuleCount> rules;  ///< in the order of alerts::Rule
  WebhookSection webhook;
};

void read_alerts(YamlReader& reader, const YAML::Node& node, AlertsSection& section);
/// Adds the keys of the section and of those in it.
void document_alerts(std::vector<DocumentedKey>& keys);

}  // namespace switchyard::config
