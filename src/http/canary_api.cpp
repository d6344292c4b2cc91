#include "http/canary_api.h"

#include <utility>

#include "http/alias_json.h"
#include "http/body_fields.h"
#include "http/errors.h"
#include "http/experiment_intake.h"
#include "http/subject.h"
#include "http/time_text.h"

namespace switchyard::http {
namespace {

const std::string& alias_of(const RouteCall& call) { return call.path_params.at("alias"); }

Json figures_json(const traffic::ArmFigures& figures) {
  return {{"requests", figures.requests},
          {"errors", figures.errors},
          {"error_rate", figures.error_rate()},
          {"failed_probes", figures.failed_probes},
          {"ttft_p95_ms", figures.ttft_p95 ? Json(seconds(*figures.ttft_p95) * 1000) : Json(nullptr)},
          {"tokens_per_s", figures.tokens_per_s ? Json(*figures.tokens_per_s) : Json(nullptr)}};
}

Json plan_json(const traffic::CanaryPlan& plan) {
  return {{"steps", plan.steps},
          {"interval_seconds", seconds(plan.interval)},
          {"min_requests", plan.min_requests},
          {"max_error_rate", plan.max_error_rate},
          {"max_ttft_ratio", plan.max_ttft_ratio},
          {"min_speed_ratio", plan.min_speed_ratio},
          {"max_failed_probes", plan.max_failed_probes}};
}

Json canary_json(const traffic::CanaryStatus& status) {
  Json decisions = Json::array();
  for (const traffic::CanaryLine& line : status.lines) {
    decisions.push_back({{"at", time_text(line.at)},
                         {"move", line.move},
                         {"reason", line.reason},
                         {"who", line.who},
                         {"percent", line.percent}});
  }
  return {
      {"alias", status.alias},
      {"stable", status.stable.to_string()},
      {"canary", status.canary.to_string()},
      {"state", to_string(status.state)},
      {"step", status.step},
      {"percent", status.percent},
      {"step_seconds", seconds(status.in_step)},
      {"plan", plan_json(status.plan)},
      {"figures",
       {{"canary", figures_json(status.canary_figures)}, {"stable", figures_json(status.stable_figures)}}},
      {"who", status.who},
      {"started_at", time_json(status.started)},
      {"ended_at", time_json(status.ended)},
      {"decisions", std::move(decisions)}};
}

/// Leaves `value` as it is where the body has none.
Status take_number(const Json& body, const char* key, double& value) {
  const auto given = read_number(body, key);
  if (!given) return std::unexpected(given.error());
  value = given->value_or(value);
  return {};
}

Status read_count(const Json& body, const char* key, std::uint32_t& value) {
  const auto found = body.find(key);
  if (found == body.end()) return {};
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() > 1'000'000)
    return fail(ErrorCode::kInvalidArgument, "'" + std::string(key) + "' must be a count, a million at most");
  value = found->get<std::uint32_t>();
  return {};
}

Status read_steps(const Json& body, std::vector<double>& steps) {
  const auto found = body.find("steps");
  if (found == body.end()) return {};
  steps.clear();
  if (!found->is_array()) return fail(ErrorCode::kInvalidArgument, "'steps' must be a list of percentages");
  for (const Json& step : *found) {
    if (!step.is_number()) return fail(ErrorCode::kInvalidArgument, "'steps' must be a list of percentages");
    steps.push_back(step.get<double>());
  }
  return {};
}

Result<traffic::CanaryPlan> read_plan(const Json& body) {
  traffic::CanaryPlan plan;
  for (const Status& read :
       {read_steps(body, plan.steps), read_count(body, "min_requests", plan.min_requests),
        take_number(body, "max_error_rate", plan.max_error_rate),
        take_number(body, "max_ttft_ratio", plan.max_ttft_ratio),
        take_number(body, "min_speed_ratio", plan.min_speed_ratio),
        read_count(body, "max_failed_probes", plan.max_failed_probes)}) {
    if (!read) return std::unexpected(read.error());
  }
  const auto interval = read_duration(body, "interval");
  if (!interval) return std::unexpected(interval.error());
  if (*interval) plan.interval = **interval;
  return plan;
}

}  // namespace

void CanaryApi::add_routes(Router& router) {
  using Command = traffic::Canaries::Command;
  const std::string one = "/admin/v1/aliases/:alias/canary";
  const auto tell = [this](Command command) {
    return [this, command](const RouteCall& call) { this->command(call, command); };
  };
  router.add("GET", "/admin/v1/canaries", [this](const RouteCall& call) { list(call); }, Access::kRead);
  router.add("GET", one, [this](RouteCall call) { describe(std::move(call)); }, Access::kRead);
  router.add("POST", one, [this](const RouteCall& call) { start(call); }, Access::kAdmin);
  router.add("DELETE", one, tell(Command::kAbort), Access::kAdmin);
  router.add("POST", one + "/pause", tell(Command::kPause), Access::kAdmin);
  router.add("POST", one + "/resume", tell(Command::kResume), Access::kAdmin);
  router.add("POST", one + "/promote", tell(Command::kPromote), Access::kAdmin);
}

void CanaryApi::list(const RouteCall& call) {
  Json list = Json::array();
  for (const auto& canary : services_.canaries.list()) list.push_back(canary_json(canary));
  call.exchange->respond(json_reply({{"canaries", std::move(list)}}));
}

void CanaryApi::describe(RouteCall call) {
  services_.executor.post([this, call = std::move(call)] {
    const auto status = services_.canaries.describe(alias_of(call));
    call.exchange->respond(status ? json_reply(canary_json(*status)) : error_reply(status.error()));
  });
}

traffic::Canaries::Done CanaryApi::answer(const RouteCall& call, int status) {
  return
      [exchange = call.exchange, gate = services_.gate, status](const Result<traffic::CanaryStatus>& canary) {
        gate->pass([&] {
          exchange->respond(canary ? json_reply(canary_json(*canary), status) : error_reply(canary.error()));
        });
      };
}

void CanaryApi::start(const RouteCall& call) {
  const auto body =
      read_body(call, {"to", "steps", "interval", "min_requests", "max_error_rate", "max_ttft_ratio",
                       "min_speed_ratio", "max_failed_probes", "sticky", "why"});
  if (!body) return call.exchange->respond(error_reply(body.error()));
  const auto to = read_target(*body);
  if (!to) return call.exchange->respond(error_reply(to.error()));
  auto plan = read_plan(*body);
  if (!plan) return call.exchange->respond(error_reply(plan.error()));
  auto sticky = read_sticky(*body);
  if (!sticky) return call.exchange->respond(error_reply(sticky.error()));
  const auto why = read_text(*body, "why");
  if (!why) return call.exchange->respond(error_reply(why.error()));
  services_.canaries.start({.alias = alias_of(call),
                            .to = *to,
                            .plan = *std::move(plan),
                            .sticky_header = *std::move(sticky),
                            .who = call.who(),
                            .why = why->value_or("")},
                           answer(call, 201));
}

void CanaryApi::command(const RouteCall& call, traffic::Canaries::Command command) {
  services_.canaries.command(alias_of(call), command, call.who(), answer(call, 200));
}

traffic::CanaryObservation canary_observation(const gateway::RequestRecord& record) {
  traffic::CanaryObservation observation{.version = record.version,
                                         .failed = record.failed,
                                         .counts = record.outcome != gateway::Outcome::kClientGone,
                                         .is_error = gateway::failed_by_server(record),
                                         .ttft = gateway::first_token(record)};
  // What the client got wrong is nobody's success, and neither is a token counted.
  if (!is_generated(record)) observation.counts = false;
  if (record.status >= 400 && !observation.is_error) observation.counts = false;
  if (record.tokens.generated && *record.tokens.generated > 1) {
    const Duration time = record.total - (record.streamed ? record.first_byte : record.queued);
    if (time > Duration::zero())
      observation.tokens_per_s = static_cast<double>(*record.tokens.generated) / seconds(time);
  }
  return observation;
}

}  // namespace switchyard::http
