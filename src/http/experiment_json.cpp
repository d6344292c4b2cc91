#include "http/experiment_json.h"

#include <chrono>
#include <cmath>
#include <utility>

#include "http/time_text.h"

namespace switchyard::http {
namespace {

using experiments::Arm;
using experiments::Comparison;
using experiments::Definition;
using experiments::ReportRow;
using experiments::Trial;

/// Milliseconds since 1970; 0 is no time.
Json time_json(std::int64_t milliseconds) {
  if (milliseconds == 0) return nullptr;
  return time_text(std::chrono::system_clock::time_point(std::chrono::milliseconds(milliseconds)));
}

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json arm_json(const Arm& arm) { return {{"version", arm.version}, {"weight", arm.weight}}; }

void put_interval(Json& json, experiments::Metric metric, const experiments::Interval& interval) {
  json["difference"] = number(shown_difference(metric, interval.estimate));
  json["lower"] = number(shown_difference(metric, interval.lower));
  json["upper"] = number(shown_difference(metric, interval.upper));
}

Json row_json(const Definition& definition, const ReportRow& row) {
  const experiments::MetricInfo& info = info_of(row.metric);
  Json json{{"segment", row.segment.empty() ? Json(nullptr) : Json(row.segment)},
            {"version", definition.arms[row.arm].version},
            {"control", row.arm == 0},
            {"assigned", row.assigned},
            {"requests", row.requests},
            {"metric", info.name},
            {"role", to_string(row.role)},
            {"unit", info.unit},
            {"observations", row.observations},
            {"mean", row.observations == 0 ? Json(nullptr) : number(row.mean)}};
  if (!row.comparison) return json;
  const Comparison& comparison = *row.comparison;
  put_interval(json, row.metric, comparison.interval);
  if (comparison.observations == 0) {
    for (const char* key : {"difference", "lower", "upper"}) json[key] = nullptr;
  }
  json["relative"] = info.scale == experiments::Scale::kLogarithm;
  json["alpha"] = comparison.alpha;
  json["enough"] = comparison.enough;
  json["side"] = to_string(comparison.side);
  return json;
}

Json trail_json(const Trial& trial) {
  Json trail = Json::array();
  for (const experiments::TrailPoint& point : trial.trail) {
    Json json{{"version", trial.definition.arms.at(point.arm).version}, {"observations", point.observations}};
    put_interval(json, trial.definition.metric, point.interval);
    trail.push_back(std::move(json));
  }
  return trail;
}

Json verdict_json(const experiments::Report& report) {
  const bool is_open = report.verdict.decision == experiments::Decision::kInconclusive;
  return {
      {"decision", to_string(report.verdict.decision)},
      {"version", is_open ? Json(nullptr) : Json(report.trial->definition.arms[report.verdict.arm].version)},
      {"acted", report.trial->progress.acted},
      {"reasons", report.verdict.reasons}};
}

}  // namespace

Json experiment_json(const experiments::Report& report) {
  const Definition& definition = report.trial->definition;
  const experiments::Progress& progress = report.trial->progress;
  Json variants = Json::array(), guardrails = Json::array();
  for (std::size_t arm = 1; arm < definition.arms.size(); ++arm)
    variants.push_back(arm_json(definition.arms[arm]));
  for (const experiments::Guardrail& guardrail : definition.guardrails)
    guardrails.push_back({{"metric", info_of(guardrail.metric).name}, {"tolerance", guardrail.tolerance}});
  std::int64_t requests = 0;
  for (const experiments::ArmNumbers& numbers : report.trial->tally.whole()) requests += numbers.requests;
  return {{"id", definition.id},
          {"alias", definition.alias},
          {"state", to_string(progress.state)},
          {"control", arm_json(definition.arms[0])},
          {"variants", std::move(variants)},
          {"hypothesis", definition.hypothesis},
          {"metric", info_of(definition.metric).name},
          {"better", to_string(definition.better)},
          {"guardrails", std::move(guardrails)},
          {"minimum_sample", definition.minimum_sample},
          {"alpha", definition.alpha},
          {"automatic", definition.automatic},
          {"segment_by", to_string(definition.segment_by)},
          {"started", time_json(progress.started)},
          {"ended", time_json(progress.ended)},
          {"requests", requests},
          {"sample_ratio",
           {{"p_value", report.verdict.ratio.p_value}, {"mismatch", report.verdict.ratio.mismatch}}},
          {"verdict", verdict_json(report)}};
}

Json report_json(const experiments::Report& report, const experiments::Losses& losses) {
  Json json = experiment_json(report);
  json["rows"] = Json::array();
  for (const ReportRow& row : rows_of(report))
    json["rows"].push_back(row_json(report.trial->definition, row));
  json["trail"] = trail_json(*report.trial);
  json["observations"] = losses_json(losses);
  return json;
}

Json losses_json(const experiments::Losses& losses) {
  return {{"written", losses.written},
          {"queued", losses.queued},
          {"dropped", losses.dropped},
          {"lost", losses.lost},
          {"refused", losses.refused},
          {"feedback_waiting", losses.waiting},
          {"write_error", losses.write_error ? Json(losses.write_error->to_string()) : Json(nullptr)}};
}

}  // namespace switchyard::http
