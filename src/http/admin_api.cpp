#include "http/admin_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "http/admin_json.h"
#include "http/body_fields.h"
#include "http/errors.h"

namespace switchyard::http {
void AdminApi::add_routes(Router& router) {
  router.add("GET", "/admin/v1/models", [this](const RouteCall& call) { list(call); }, Access::kRead);
  router.add(
      "GET", "/admin/v1/models/:id", [this](RouteCall call) { describe(std::move(call)); }, Access::kRead);
  const std::initializer_list<std::pair<const char*, Change>> changes = {
      {"load", &models::Manager::load},
      {"unload", &models::Manager::unload},
      {"park", &models::Manager::park},
      {"resume", &models::Manager::resume}};
  for (const auto& [name, what] : changes) {
    router.add(
        "POST", std::string("/admin/v1/models/:id/") + name,
        [this, what](RouteCall call) { change(std::move(call), what); }, Access::kAdmin);
  }
  router.add(
      "POST", "/admin/v1/models/:id/pin", [this](const RouteCall& call) { pin(call, true); }, Access::kAdmin);
  router.add(
      "POST", "/admin/v1/models/:id/unpin", [this](const RouteCall& call) { pin(call, false); },
      Access::kAdmin);
  router.add(
      "POST", "/admin/v1/config/reload", [this](RouteCall call) { reload_config(std::move(call)); },
      Access::kAdmin);
  router.add("GET", "/admin/v1/events", [this](RouteCall call) { events(std::move(call)); }, Access::kRead);
}

void AdminApi::list(const RouteCall& call) {
  ArrayText list;
  const Verdicts verdicts = services_.monitor.verdicts();
  for (const auto& model : services_.manager.list()) list.add(admin_model(model, verdicts));
  const auto limits = services_.manager.limits();
  Response reply;
  reply.body =
      fmt::format(R"({{"limits":{{"models_max":{},"memory_budget":{}}},"models":{},"reserved_bytes":{}}})",
                  limits.models_max, limits.memory_budget.bytes(), std::move(list).take(),
                  services_.manager.reserved().bytes());
  call.exchange->respond(std::move(reply));
}

Result<models::VersionRef> AdminApi::version_of(const RouteCall& call) const {
  return services_.switcher.resolve(call.path_params.at("id"));
}

void AdminApi::describe(RouteCall call) {
  const std::string& id = call.path_params.at("id");
  if (const auto model = services_.manager.describe(id)) {
    return call.exchange->respond(json_reply(admin_model(*model, services_.monitor.verdicts())));
  }
  const auto ref = version_of(call);
  call.exchange->respond(ref ? version_reply(*ref, 200) : error_reply(ref.error()));
}

Response AdminApi::version_reply(const models::VersionRef& ref, int status) const {
  const auto model = services_.manager.describe(ref.model);
  if (!model) return error_reply(model.error());
  const auto version = std::ranges::find(model->versions, ref, &models::VersionStatus::ref);
  if (version == model->versions.end()) {
    return error_reply({ErrorCode::kNotFound, "there is no " + ref.to_string() + " any more"});
  }
  Json body = admin_version(*model, *version, services_.monitor.verdicts());
  body["model"] = ref.model;
  return json_reply(body, status);
}

void AdminApi::change(RouteCall call, Change what) {
  const auto body = read_body(call, {"wait"});
  if (!body) return call.exchange->respond(error_reply(body.error()));
  const auto wait = read_wait(*body);
  if (!wait) return call.exchange->respond(error_reply(wait.error()));
  const auto ref = version_of(call);
  if (!ref) return call.exchange->respond(error_reply(ref.error()));
  const int status = *wait == Wait::kYes ? 200 : 202;
  answer_change(
      services_, std::move(call.exchange), *wait,
      [&](models::Manager::Done done) { return (services_.manager.*what)(*ref, std::move(done)); },
      [this, ref = *ref, status] { return version_reply(ref, status); });
}

void AdminApi::pin(const RouteCall& call, bool pinned) {
  const auto body = read_body(call, {"wait"});
  if (!body) return call.exchange->respond(error_reply(body.error()));
  const auto ref = version_of(call);
  if (!ref) return call.exchange->respond(error_reply(ref.error()));
  const auto done = services_.manager.pin(ref->model, pinned);
  call.exchange->respond(done ? version_reply(*ref, 200) : error_reply(done.error()));
}

void AdminApi::reload_config(RouteCall call) {
  if (!services_.options.reload_config) {
    return call.exchange->respond(error_reply(
        {ErrorCode::kUnimplemented, "this server was started without --config: nothing to reload"}));
  }
  const auto body = read_body(call, {});
  if (!body) return call.exchange->respond(error_reply(body.error()));
  services_.executor.post([this, exchange = std::move(call.exchange)] {
    const auto changes = services_.options.reload_config();
    if (!changes) return exchange->respond(error_reply(changes.error()));
    Response reply;
    reply.body = *changes;
    exchange->respond(std::move(reply));
  });
}

void AdminApi::events(RouteCall call) {
  const std::string model = call.request().param("model");
  streams_.add(
      std::move(call.exchange),
      [model](const telemetry::Event& event) -> std::optional<std::string> {
        if (!model.empty() && event.model != model && event.model != "*") return std::nullopt;
        return admin_event_frame(event);
      },
      ": events of switchyard\n\n");
}

}  // namespace switchyard::http
