#include "cli/alert_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/terminal.h"

namespace switchyard::cli {
namespace {

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() || !found->is_string() ? "-" : found->get<std::string>();
}

}  // namespace

std::string alert_table(const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& alert : answer.value("alerts", Json::array())) {
    rows.push_back({text_of(alert, "rule"), text_of(alert, "state"), text_of(alert, "severity"),
                    text_of(alert, "since"), text_of(alert, "resolved_at"), text_of(alert, "summary")});
  }
  const Json rules = answer.value("rules", Json::array());
  const auto watched =
      std::ranges::count_if(rules, [](const Json& rule) { return !rule.value("off", false); });
  if (rows.empty()) return fmt::format("Nothing fires; {} rules are watched.\n", watched);
  return format_table({"ALERT", "STATE", "SEVERITY", "SINCE", "RESOLVED", "SUMMARY"}, rows);
}

}  // namespace switchyard::cli
