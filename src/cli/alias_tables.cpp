#include "cli/alias_tables.h"

#include <fmt/format.h>

#include "cli/terminal.h"
#include "switchyard/byte_size.h"

namespace switchyard::cli {
namespace {

std::string text_or(const Json& json, const char* key, const std::string& otherwise = "-") {
  const auto found = json.find(key);
  return found == json.end() || !found->is_string() || found->get_ref<const std::string&>().empty()
             ? otherwise
             : found->get<std::string>();
}

double number_or_zero(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() || !found->is_number() ? 0 : found->get<double>();
}

std::string joined(const Json& list) {
  std::string text;
  for (const Json& item : list) {
    if (item.is_string()) text += (text.empty() ? "" : ", ") + item.get<std::string>();
  }
  return text.empty() ? "-" : text;
}

double total_ms(const Json& report) {
  double sum = 0;
  for (const Json& phase : report.value("phases", Json::array())) sum += number_or_zero(phase, "duration_ms");
  return sum;
}

std::string error_of(const Json& report) {
  const auto error = report.find("error");
  return error == report.end() || !error->is_object() ? std::string() : text_or(*error, "message", "");
}

/// "a@1 90 %, b@1 10 %", or the one version.
std::string meaning(const Json& line) {
  const auto split = line.find("split");
  if (split == line.end() || !split->is_array()) return text_or(line, "to");
  std::string text;
  for (const Json& arm : *split)
    text += fmt::format("{}{} {:g} %", text.empty() ? "" : ", ", text_or(arm, "to"),
                        number_or_zero(arm, "weight"));
  return text;
}

std::string bytes_text(const Json& json, const char* key) {
  return ByteSize(static_cast<std::uint64_t>(number_or_zero(json, key))).to_string();
}

}  // namespace

std::string alias_table(const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& alias : answer.at("aliases")) {
    const Json running = alias.value("switch", Json());
    rows.push_back({text_or(alias, "name"), meaning(alias), joined(alias.value("previous", Json::array())),
                    running.is_object()
                        ? fmt::format("to {}: {}", text_or(running, "to"), text_or(running, "phase"))
                        : "-"});
  }
  if (rows.empty()) return "There is no alias: `switchyard switch NAME MODEL --make` makes one.\n";
  return format_table({"ALIAS", "MEANS", "BEFORE", "SWITCH"}, rows);
}

std::string alias_text(const Json& alias) {
  std::string text = fmt::format("{} means {}\n", text_or(alias, "name"), meaning(alias));
  if (const Json sticky = alias.value("sticky", Json()); sticky.is_object())
    text += fmt::format("sticky by: {}\n", text_or(sticky, "header"));
  text += fmt::format("before: {}\n", joined(alias.value("previous", Json::array())));
  if (const Json running = alias.value("switch", Json()); running.is_object()) {
    text += fmt::format("being switched to {}: {}\n", text_or(running, "to"), text_or(running, "phase"));
  }
  return text;
}

std::string history_table(const Json& alias) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& line : alias.value("history", Json::array())) {
    std::string ended = text_or(line, "outcome");
    if (!error_of(line).empty()) ended += " in " + text_or(line, "phase");
    std::string why = text_or(line, "why", "");
    if (const std::string error = error_of(line); !error.empty()) why += (why.empty() ? "" : "; ") + error;
    rows.push_back({text_or(line, "started_at"), text_or(line, "kind"), text_or(line, "from"), meaning(line),
                    ended, format_seconds(total_ms(line) / 1000), text_or(line, "who"),
                    why.empty() ? "-" : why});
  }
  if (rows.empty()) return "It has not been moved yet.\n";
  return format_table({"WHEN", "WHAT", "FROM", "TO", "ENDED", "TOOK", "WHO", "WHY"}, rows, {5});
}

std::string switch_line(const Json& report) {
  const std::string alias = text_or(report, "alias"), from = text_or(report, "from", "");
  if (text_or(report, "outcome") == "running") {
    return fmt::format("{} is being switched to {}\n", alias, text_or(report, "to"));
  }
  std::string line = fmt::format("{} is now {} ({}{})\n", alias, text_or(report, "serving"),
                                 from.empty() ? std::string() : "was " + from + "; ",
                                 format_seconds(total_ms(report) / 1000));
  if (report.value("still_draining", false)) {
    line += fmt::format("{} still answers {:.0f} requests and is left to\n", from,
                        number_or_zero(report, "draining_leases"));
  }
  return line;
}

std::string versions_table(const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& version : answer.value("versions", Json::array())) {
    const std::string replaced = text_or(version, "replaced_by", "");
    rows.push_back({text_or(version, "id"),
                    replaced.empty() ? text_or(version, "state", "not there") : "now " + replaced,
                    joined(version.value("names", Json::array())), text_or(version, "added_at"),
                    text_or(version, "added_by"), text_or(version, "sha256", "-").substr(0, 12),
                    text_or(version, "file"), text_or(version, "notes")});
  }
  return format_table({"VERSION", "STATE", "NAMES", "ADDED", "BY", "SHA256", "FILE", "NOTES"}, rows);
}

std::string preview_text(const Json& preview) {
  std::string text = fmt::format("{} -> {}\n", text_or(preview, "from"), text_or(preview, "to"));
  if (!preview.value("possible", true)) return text + "not possible: " + error_of(preview) + "\n";
  if (!preview.value("loads", true)) {
    text += "it is hot already\n";
  } else {
    text += fmt::format("loads {} ({} free), in about {}\n", bytes_text(preview, "needs_bytes"),
                        bytes_text(preview, "free_bytes"),
                        format_seconds(number_or_zero(preview, "expected_ms") / 1000));
  }
  for (const Json& victim : preview.value("evicts", Json::array())) {
    text += fmt::format("{} becomes {} ({})\n", text_or(victim, "version"), text_or(victim, "to"),
                        text_or(victim, "reason"));
  }
  if (preview.value("waits_for_room", false)) text += "waits until others have left\n";
  if (const std::string old = text_or(preview, "old_becomes", ""); !old.empty())
    text += fmt::format("{} becomes {} afterwards\n", text_or(preview, "from"), old);
  return text;
}

}  // namespace switchyard::cli
