#include "http/health_api.h"

#include "http/body_fields.h"
#include "http/errors.h"
#include "http/time_text.h"

namespace switchyard::http {
namespace {

Json in_ms(const std::optional<Duration>& duration) {
  return duration ? Json(seconds(*duration) * 1000) : Json(nullptr);
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json check_json(const health::Check& check) {
  return {{"at", time_text(check.at)},
          {"source", to_string(check.source)},
          {"health", to_string(check.verdict)},
          {"latency_ms", in_ms(check.latency)},
          {"error", text_or_null(check.error)}};
}

/// `health` is that of a version that nothing is known of where it has none.
Json health_json(const models::VersionStatus& version, const health::VersionHealth& health) {
  Json history = Json::array();
  for (const auto& check : health.history) history.push_back(check_json(check));
  const bool known = health.since.time_since_epoch().count() != 0;
  return {{"id", version.ref.to_string()},
          {"model", version.ref.model},
          {"version", version.ref.version},
          {"state", to_string(version.state)},
          {"health", to_string(health.health)},
          {"since", known ? Json(time_text(health.since)) : Json(nullptr)},
          {"latency_ms", in_ms(health.latency)},
          {"reason", text_or_null(health.reason)},
          {"failures", health.failures},
          {"failed_probes", health.failed_probes},
          {"restarts", health.restarts},
          {"next_try_seconds", health.next_try_in ? Json(seconds(*health.next_try_in)) : Json(nullptr)},
          {"lost_bytes", version.lost.bytes()},
          {"history", std::move(history)}};
}

}  // namespace

void HealthApi::add_routes(Router& router) {
  router.add("GET", "/admin/v1/health", [this](const RouteCall& call) { list(call); }, Access::kRead);
  router.add(
      "POST", "/admin/v1/models/:id/release", [this](const RouteCall& call) { release(call); },
      Access::kAdmin);
}

void HealthApi::list(const RouteCall& call) {
  const auto known = services_.monitor.list();
  const health::VersionHealth nothing;
  Json versions = Json::array();
  for (const auto& model : services_.manager.list()) {
    for (const auto& version : model.versions) {
      const auto health = known.find(version.ref);
      versions.push_back(health_json(version, health == known.end() ? nothing : health->second));
    }
  }
  call.exchange->respond(
      json_reply({{"ready", services_.manager.can_answer()}, {"versions", std::move(versions)}}));
}

void HealthApi::release(const RouteCall& call) {
  const auto body = read_body(call, {});
  if (!body) return call.exchange->respond(error_reply(body.error()));
  const auto ref = services_.switcher.resolve(call.path_params.at("id"));
  if (!ref) return call.exchange->respond(error_reply(ref.error()));
  const auto released = services_.monitor.release(*ref);
  call.exchange->respond(released ? json_reply({{"released", ref->to_string()}})
                                  : error_reply(released.error()));
}

}  // namespace switchyard::http
