#include "cli/experiment_tables.h"

#include <fmt/format.h>

#include <vector>

#include "cli/terminal.h"

namespace switchyard::cli {
namespace {

std::string text_of(const Json& json, const char* key, const char* otherwise = "-") {
  const auto found = json.find(key);
  return found == json.end() || !found->is_string() || found->get<std::string>().empty()
             ? otherwise
             : found->get<std::string>();
}

std::int64_t count_of(const Json& json, const char* key) { return json.value(key, std::int64_t{0}); }

std::string variants_of(const Json& experiment) {
  std::string names;
  for (const Json& variant : experiment.value("variants", Json::array()))
    names += (names.empty() ? "" : " ") + text_of(variant, "version");
  return names;
}

std::string verdict_of(const Json& experiment) {
  const Json verdict = experiment.value("verdict", Json::object());
  const std::string decision = text_of(verdict, "decision");
  return decision == "inconclusive" ? decision : decision + " " + text_of(verdict, "version");
}

/// Differences of times and rates are shares of control's value, those of shares percentage points.
std::string difference_text(const Json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number()) return "?";
  const std::string metric = text_of(row, "metric");
  if (metric == "score") return fmt::format("{:+.3f}", found->get<double>());
  const bool relative = row.value("relative", false);
  return fmt::format("{:+.1f} {}", 100 * found->get<double>(), relative ? "%" : "pp");
}

std::string mean_text(const Json& row) {
  const auto found = row.find("mean");
  if (found == row.end() || !found->is_number()) return "-";
  const std::string metric = text_of(row, "metric");
  const double mean = found->get<double>();
  if (metric == "error_rate" || metric == "conversion") return fmt::format("{:.2f} %", 100 * mean);
  return fmt::format("{:.4g} {}", mean, text_of(row, "unit", ""));
}

std::string side_text(const Json& row) {
  if (!row.contains("side")) return "control";
  if (!row.value("enough", false)) return "too few";
  const std::string side = text_of(row, "side");
  return side == "unknown" ? "not proven" : side;
}

}  // namespace

std::string experiments_table(const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& experiment : answer.value("experiments", Json::array())) {
    rows.push_back({text_of(experiment, "id"), text_of(experiment, "state"), text_of(experiment, "alias"),
                    text_of(experiment, "metric"),
                    text_of(experiment.value("control", Json::object()), "version"), variants_of(experiment),
                    std::to_string(count_of(experiment, "requests")), verdict_of(experiment)});
  }
  if (rows.empty()) return "There are no experiments.\n";
  return format_table(
      {"EXPERIMENT", "STATE", "ALIAS", "METRIC", "CONTROL", "VARIANTS", "REQUESTS", "VERDICT"}, rows, {6});
}

std::string experiment_text(const Json& experiment) {
  std::string out =
      fmt::format("{} is {}: {} against {} behind {}, by {} ({} is better)\n", text_of(experiment, "id"),
                  text_of(experiment, "state"), variants_of(experiment),
                  text_of(experiment.value("control", Json::object()), "version"),
                  text_of(experiment, "alias"), text_of(experiment, "metric"), text_of(experiment, "better"));
  if (const std::string hypothesis = text_of(experiment, "hypothesis", ""); !hypothesis.empty())
    out += fmt::format("Hypothesis: {}\n", hypothesis);
  out += fmt::format("Verdict: {}\n", verdict_of(experiment));
  const Json verdict = experiment.value("verdict", Json::object());
  for (const Json& reason : verdict.value("reasons", Json::array()))
    if (reason.is_string()) out += fmt::format("  {}\n", reason.get<std::string>());
  return out;
}

std::string experiment_report_text(const Json& report) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& row : report.value("rows", Json::array())) {
    const bool control = !row.contains("side");
    rows.push_back(
        {text_of(row, "segment", "all"), text_of(row, "metric"), text_of(row, "version"),
         std::to_string(count_of(row, "observations")), mean_text(row),
         control ? "" : difference_text(row, "difference"),
         control ? "" : fmt::format("{} to {}", difference_text(row, "lower"), difference_text(row, "upper")),
         side_text(row)});
  }
  std::string out = experiment_text(report) + "\n" +
                    format_table({"SEGMENT", "METRIC", "VERSION", "OBSERVATIONS", "MEAN", "DIFFERENCE",
                                  "SURE TO BE WITHIN", "SIDE"},
                                 rows, {3, 4, 5});
  const Json observations = report.value("observations", Json::object());
  const std::int64_t missing = count_of(observations, "lost") + count_of(observations, "dropped");
  if (missing > 0) out += fmt::format("\n{} observations of all experiments were lost.\n", missing);
  return out;
}

}  // namespace switchyard::cli
