#include "http/experiment_api.h"

#include <utility>

#include "http/body_fields.h"
#include "http/errors.h"
#include "http/experiment_body.h"
#include "http/experiment_json.h"
#include "http/own_conversation.h"

namespace switchyard::http {
namespace {

const std::string& id_of(const RouteCall& call) { return call.path_params.at("experiment"); }

}  // namespace

void ExperimentApi::add_routes(Router& router) {
  const std::string all = "/admin/v1/experiments", one = all + "/:experiment";
  router.add("GET", all, [this](const RouteCall& call) { list(call); }, Access::kRead);
  router.add("POST", all, [this](RouteCall call) { begin(std::move(call)); }, Access::kAdmin);
  router.add("GET", one, [this](const RouteCall& call) { describe(call); }, Access::kRead);
  router.add("DELETE", one, [this](RouteCall call) { remove(std::move(call)); }, Access::kAdmin);
  router.add("POST", one + "/stop", [this](RouteCall call) { stop(std::move(call)); }, Access::kAdmin);
  router.add("GET", one + "/report", [this](const RouteCall& call) { report(call); }, Access::kRead);
  router.add("POST", "/v1/feedback", [this](const RouteCall& call) { feedback(call); }, Access::kInference);
}

void ExperimentApi::list(const RouteCall& call) {
  services_.executor.post([this, call] {
    Json list = Json::array();
    for (const auto& trial : services_.experiments.list()) {
      const auto report = services_.experiments.report(trial->definition.id);
      if (report) list.push_back(experiment_json(*report));
    }
    call.exchange->respond(json_reply(
        {{"experiments", std::move(list)}, {"observations", losses_json(services_.experiments.losses())}}));
  });
}

void ExperimentApi::describe(const RouteCall& call) {
  services_.executor.post([this, call] {
    const auto report = services_.experiments.report(id_of(call));
    call.exchange->respond(report ? json_reply(experiment_json(*report)) : error_reply(report.error()));
  });
}

void ExperimentApi::begin(RouteCall call) {
  services_.executor.post([this, call = std::move(call)] {
    const auto body =
        read_body(call, {"id", "alias", "control", "variants", "weights", "hypothesis", "metric", "better",
                         "guardrails", "minimum_sample", "alpha", "automatic", "segment_by"});
    if (!body) return call.exchange->respond(error_reply(body.error()));
    const auto resolve = [this](const std::string& name) -> Result<std::string> {
      const auto version = services_.switcher.resolve(name);
      if (!version) return std::unexpected(version.error());
      return version->to_string();
    };
    const auto split = [this](const std::string& alias) {
      std::map<std::string, double> weights;
      if (const auto arms = services_.switcher.split_of(alias); arms != nullptr)
        for (const auto& arm : arms->arms) weights[arm.to.to_string()] = arm.weight;
      return weights;
    };
    const auto definition = read_definition(*body, resolve, split);
    if (!definition) return call.exchange->respond(error_reply(definition.error()));
    if (const Status begun = services_.experiments.begin(*definition); !begun)
      return call.exchange->respond(error_reply(begun.error()));
    const auto report = services_.experiments.report(definition->id);
    call.exchange->respond(report ? json_reply(experiment_json(*report), 201) : error_reply(report.error()));
  });
}

void ExperimentApi::stop(RouteCall call) {
  const auto body = read_body(call, {});
  if (!body) return call.exchange->respond(error_reply(body.error()));
  services_.executor.post([this, call = std::move(call)] {
    if (const Status stopped = services_.experiments.stop(id_of(call)); !stopped)
      return call.exchange->respond(error_reply(stopped.error()));
    const auto report = services_.experiments.report(id_of(call));
    call.exchange->respond(report ? json_reply(experiment_json(*report)) : error_reply(report.error()));
  });
}

void ExperimentApi::remove(RouteCall call) {
  services_.executor.post([this, call = std::move(call)] {
    const Status removed = services_.experiments.remove(id_of(call));
    call.exchange->respond(removed ? json_reply({{"removed", id_of(call)}}) : error_reply(removed.error()));
  });
}

void ExperimentApi::report(const RouteCall& call) {
  const std::string format = call.request().param("format", "json");
  if (format != "json" && format != "csv" && format != "svg") {
    return call.exchange->respond(
        error_reply({ErrorCode::kInvalidArgument, "'format' must be json, csv or svg"}));
  }
  services_.executor.post([this, call, format] {
    const auto report = services_.experiments.report(id_of(call));
    if (!report) return call.exchange->respond(error_reply(report.error()));
    if (format == "json")
      return call.exchange->respond(json_reply(report_json(*report, services_.experiments.losses())));
    const bool is_csv = format == "csv";
    call.exchange->respond({.content_type = is_csv ? "text/csv; charset=utf-8" : "image/svg+xml",
                            .body = is_csv ? csv_of(*report) : svg_of(plot_of(*report))});
  });
}

void ExperimentApi::feedback(const RouteCall& call) {
  const auto body = read_body(call, {"request_id", "score", "label", "converted"});
  if (!body) return call.exchange->respond(error_reply(body.error()));
  auto feedback = read_feedback(*body);
  if (!feedback) return call.exchange->respond(error_reply(feedback.error()));
  const std::string request_id = feedback->request_id;
  feedback->request_id = own_request(call.key == nullptr ? "" : call.key->id, request_id);
  if (const Status taken = services_.experiments.feedback(*feedback); !taken)
    return call.exchange->respond(error_reply(taken.error()));
  call.exchange->respond(
      json_reply({{"object", "feedback"}, {"request_id", request_id}, {"accepted", true}}, 202));
}

}  // namespace switchyard::http
