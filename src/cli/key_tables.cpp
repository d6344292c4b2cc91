#include "cli/key_tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "cli/terminal.h"

namespace switchyard::cli {
namespace {

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return "-";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string list_of(const Json& json, const char* key, const char* none) {
  std::vector<std::string> items;
  for (const Json& item : json.value(key, Json::array())) {
    if (item.is_string()) items.push_back(item.get<std::string>());
  }
  return items.empty() ? none : fmt::format("{}", fmt::join(items, ","));
}

std::string name_of(const Json& key) {
  const std::string alias = text_of(key, "key_alias");
  return alias == "-" ? text_of(key, "token_id") : alias;
}

}  // namespace

std::string key_table(const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& key : answer.value("keys", Json::array())) {
    rows.push_back({text_of(key, "key_alias"), text_of(key, "token_id"), list_of(key, "scopes", "-"),
                    list_of(key, "models", "any"), text_of(key, "rpm_limit"), text_of(key, "tpm_limit"),
                    text_of(key, "max_parallel_requests"), text_of(key, "weight"), text_of(key, "expires"),
                    key.value("blocked", false) ? "blocked" : "-"});
  }
  if (rows.empty()) return "There is no key: make one with `switchyard keys create`.\n";
  return format_table(
      {"KEY", "ID", "SCOPES", "MODELS", "RPM", "TPM", "AT ONCE", "WEIGHT", "EXPIRES", "STATE"}, rows,
      {4, 5, 6, 7});
}

std::string usage_table(const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& row : answer.value("usage", Json::array())) {
    rows.push_back({text_of(row, "day"), name_of(row), text_of(row, "model"), text_of(row, "requests"),
                    text_of(row, "errors"), text_of(row, "prompt_tokens"), text_of(row, "generated_tokens"),
                    text_of(row, "total_tokens")});
  }
  if (rows.empty()) return "No key has used anything then.\n";
  return format_table({"DAY", "KEY", "MODEL", "REQUESTS", "ERRORS", "PROMPT", "GENERATED", "TOKENS"}, rows,
                      {3, 4, 5, 6, 7});
}

std::string issued_text(const Json& answer) {
  std::string text =
      fmt::format("{} ({})\n{}\n", name_of(answer), text_of(answer, "token_id"), text_of(answer, "key"));
  if (answer.contains("admin_key")) {
    text += fmt::format("\nKeys are asked for from now on. The administrator's:\n{}\n",
                        text_of(answer, "admin_key"));
  }
  return text + "\nKeep it: it is not shown again.\n";
}

std::string updated_text(const Json& answer) { return key_table({{"keys", Json::array({answer})}}); }

std::string key_line(const Json& answer) {
  return fmt::format("{} ({}) is {}\n", name_of(answer), text_of(answer, "token_id"),
                     answer.value("blocked", false) ? "blocked" : "let in");
}

}  // namespace switchyard::cli
