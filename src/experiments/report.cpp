#include "experiments/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace switchyard::experiments {
namespace {

Role role_of(const Definition& definition, Metric metric) {
  if (metric == definition.metric) return Role::kPrimary;
  const bool guards = std::ranges::count(definition.guardrails, metric, &Guardrail::metric) > 0;
  return guards ? Role::kGuardrail : Role::kOther;
}

Comparison compare_arm(const Definition& definition, Metric metric, const ArmNumbers& control,
                       const ArmNumbers& variant) {
  if (metric == definition.metric) {
    return compare(metric, definition.better, 0, control, variant, primary_level(definition),
                   definition.minimum_sample);
  }
  const Better better = info_of(metric).better;
  const auto guardrail = std::ranges::find(definition.guardrails, metric, &Guardrail::metric);
  if (guardrail == definition.guardrails.end()) {
    return compare(metric, better, 0, control, variant, primary_level(definition), definition.minimum_sample);
  }
  return compare_guardrail(definition, *guardrail, control, variant);
}

void add_rows(const Definition& definition, const std::string& segment, const std::vector<ArmNumbers>& arms,
              std::vector<ReportRow>& rows) {
  for (const MetricInfo& info : metric_table()) {
    const Role role = role_of(definition, info.metric);
    const bool has_any = std::ranges::any_of(
        arms, [&](const ArmNumbers& numbers) { return numbers.of(info.metric).count > 0; });
    if (!has_any && (role == Role::kOther || !segment.empty())) continue;
    for (std::size_t arm = 0; arm < arms.size(); ++arm) {
      const Moments& moments = arms[arm].of(info.metric);
      ReportRow row{.segment = segment,
                    .arm = arm,
                    .assigned = arms[arm].assigned,
                    .requests = arms[arm].requests,
                    .metric = info.metric,
                    .role = role,
                    .observations = moments.count,
                    .mean = shown(info.metric, moments.mean)};
      if (arm > 0) row.comparison = compare_arm(definition, info.metric, arms[0], arms[arm]);
      rows.push_back(std::move(row));
    }
  }
}

/// Nothing for what is infinite.
std::string number(double value) { return std::isfinite(value) ? fmt::format("{:.9g}", value) : ""; }

/// Spreadsheets take a cell that begins so for a formula: an apostrophe in front makes it text.
std::string quoted(std::string text) {
  if (!text.empty() && std::string_view("=+-@").find(text.front()) != std::string_view::npos)
    text.insert(0, 1, '\'');
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

std::string headline(const Report& report) {
  const Trial& trial = *report.trial;
  const std::string& version = trial.definition.arms[report.verdict.arm].version;
  switch (report.verdict.decision) {
    case Decision::kPromote: return "Verdict: promote " + version;
    case Decision::kRollBack: return "Verdict: roll back to " + version;
    case Decision::kInconclusive: break;
  }
  return trial.progress.state == State::kRunning ? "No verdict yet" : "Stopped without a verdict";
}

/// The later half of the trail and the line of zero are what is to be read; the first intervals are huge.
void set_limits(Plot& plot) {
  double least = 0, most = 0;
  for (const Plot::Series& series : plot.series) {
    for (std::size_t i = series.band.size() / 4; i < series.band.size(); ++i) {
      const Plot::Range& range = series.band[i];
      if (!std::isfinite(range.lower) || !std::isfinite(range.upper)) continue;
      least = std::min(least, range.lower);
      most = std::max(most, range.upper);
    }
  }
  plot.y_least = least;
  plot.y_most = most;
}

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::kPrimary: return "primary";
    case Role::kGuardrail: return "guardrail";
    case Role::kOther: return "other";
  }
  return "?";
}

std::vector<ReportRow> rows_of(const Report& report) {
  const Definition& definition = report.trial->definition;
  std::vector<ReportRow> rows;
  add_rows(definition, "", report.trial->tally.whole(), rows);
  for (const auto& [segment, arms] : report.trial->tally.segments())
    add_rows(definition, segment, arms, rows);
  return rows;
}

std::string csv_of(const Report& report) {
  const Definition& definition = report.trial->definition;
  std::string csv =
      "experiment,segment,version,role_of_arm,weight,assigned,requests,metric,role_of_metric,observations,"
      "mean,"
      "difference,lower,upper,alpha,side,enough\r\n";
  for (const ReportRow& row : rows_of(report)) {
    const Arm& arm = definition.arms[row.arm];
    csv += fmt::format("{},{},{},{},{:.6g},{},{},{},{},{},{}", quoted(definition.id), quoted(row.segment),
                       quoted(arm.version), row.arm == 0 ? "control" : "variant", arm.weight, row.assigned,
                       row.requests, info_of(row.metric).name, to_string(row.role), row.observations,
                       row.observations == 0 ? "" : number(row.mean));
    if (row.comparison) {
      const Comparison& comparison = *row.comparison;
      const auto shown = [&](double value) {
        return comparison.observations > 0 ? number(shown_difference(row.metric, value)) : std::string();
      };
      csv += fmt::format(",{},{},{},{:.6g},{},{}\r\n", shown(comparison.interval.estimate),
                         shown(comparison.interval.lower), shown(comparison.interval.upper), comparison.alpha,
                         to_string(comparison.side), comparison.enough ? "yes" : "no");
    } else {
      csv += ",,,,,,\r\n";
    }
  }
  return csv;
}

Plot plot_of(const Report& report) {
  const Trial& trial = *report.trial;
  const Definition& definition = trial.definition;
  const MetricInfo& info = info_of(definition.metric);
  const bool plain = info.scale == Scale::kPlain;
  Plot plot{.title = fmt::format("{}: {}", definition.id, headline(report)),
            .notes = {fmt::format("{}, {} is better; alpha {:g}, minimum sample {}", info.what,
                                  to_string(definition.better), definition.alpha, definition.minimum_sample)},
            .x_label = "observations of the arm that has fewer",
            .y_label = fmt::format("difference from {}{}", definition.arms[0].version,
                                   info.scale == Scale::kShare ? " (percentage points)" : ""),
            .y_percent = !plain,
            .marks = {{.y = 0, .label = "no difference"}}};
  if (report.verdict.ratio.mismatch)
    plot.notes.push_back("The requests are not shared out as the weights say.");
  for (std::size_t arm = 1; arm < definition.arms.size(); ++arm) {
    Plot::Series series{.label = definition.arms[arm].version};
    for (const TrailPoint& point : trial.trail) {
      if (point.arm != arm) continue;
      const auto at = [&](double value) { return shown_difference(definition.metric, value); };
      const auto x = static_cast<double>(point.observations);
      series.line.push_back({x, at(point.interval.estimate)});
      series.band.push_back({x, at(point.interval.lower), at(point.interval.upper)});
    }
    plot.series.push_back(std::move(series));
  }
  set_limits(plot);
  return plot;
}

}  // namespace switchyard::experiments
