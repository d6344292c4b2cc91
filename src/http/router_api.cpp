#include "http/router_api.h"

#include <algorithm>
#include <ctime>
#include <optional>
#include <utility>

#include "http/auth.h"
#include "http/body_routing.h"
#include "http/errors.h"
#include "http/residency.h"
#include "http/router_events.h"
#include "http/router_models.h"

namespace switchyard::http {
namespace {

const Json kSuccess = {{"success", true}};

std::optional<models::State> state_of(const models::Manager& manager, const models::VersionRef& ref) {
  const auto model = manager.describe(ref.model);
  if (!model) return std::nullopt;
  for (const auto& version : model->versions) {
    if (version.ref == ref) return version.state;
  }
  return std::nullopt;
}

Json downloading_entry(const std::string& name) {
  return {{"id", name},
          {"aliases", Json::array()},
          {"tags", Json::array()},
          {"object", "model"},
          {"owned_by", "llamacpp"},
          {"created", std::time(nullptr)},
          {"status", {{"value", "downloading"}, {"args", Json::array()}}},
          {"architecture", {{"input_modalities", {"text"}}, {"output_modalities", {"text"}}}},
          {"source", "cache"},
          {"can_remove", true}};
}

}  // namespace

void RouterApi::add_routes(Router& router) {
  for (const char* path : {"/models", "/v1/models"}) {
    router.add("GET", path, [this](RouteCall call) { list(std::move(call)); }, Access::kAnyKey);
  }
  router.add("POST", "/models", [this](RouteCall call) { start_download(std::move(call)); }, Access::kAdmin);
  router.add("DELETE", "/models", [this](RouteCall call) { remove(std::move(call)); }, Access::kAdmin);
  router.add("POST", "/models/load", [this](RouteCall call) { load(std::move(call)); }, Access::kAdmin);
  router.add("POST", "/models/unload", [this](RouteCall call) { unload(std::move(call)); }, Access::kAdmin);
  router.add(
      "GET", "/models/sse",
      [this](RouteCall call) {
        streams_.add(std::move(call.exchange),
                     [this](const telemetry::Event& event) { return router_event_frame(event, services_); });
      },
      Access::kRead);
  router.add("GET", "/props", [this](RouteCall call) { props(std::move(call)); }, Access::kAnyKey);
}

void RouterApi::list(RouteCall call) {
  // llama-server with one model does not look at `reload`.
  if (call.request().param("reload").empty() || services_.options.single_model)
    return answer_list(call.exchange, call.key);
  if (!allows(Access::kAdmin, call.key)) {
    return call.exchange->respond(
        error_reply({ErrorCode::kPermissionDenied, "this key may not reload the models"}));
  }
  if (!services_.options.reload_catalog) {
    return call.exchange->respond(error_reply(
        {ErrorCode::kUnimplemented, "this server has a fixed list of models, nothing to reload"}));
  }
  services_.executor.post([this, exchange = std::move(call.exchange), key = call.key] {
    const auto reloaded = services_.options.reload_catalog();
    if (!reloaded) return exchange->respond(error_reply(reloaded.error()));
    telemetry::Event event;
    event.type = "models_reload";
    event.model = "*";
    services_.events.publish(std::move(event));
    answer_list(exchange, key);
  });
}

void RouterApi::answer_list(const ExchangePtr& exchange, const tenants::KeyPtr& key) {
  if (services_.options.single_model) {
    const auto ref = services_.switcher.resolve(services_.live.get()->default_model);
    const auto model = ref ? services_.manager.describe(ref->model) : std::unexpected(ref.error());
    std::optional<Json> body;
    if (model) {
      const auto version = std::ranges::find(model->versions, *ref, &models::VersionStatus::ref);
      if (version != model->versions.end()) body = single_list(*model, *version, std::time(nullptr));
    }
    const std::string& name = services_.live.get()->default_model;
    if (body && key != nullptr && !tenants::may_ask_for(key->settings, name)) body = empty_list();
    exchange->respond(body ? json_reply(*body) : error_reply(503, "unavailable_error", "Loading model"));
    return;
  }
  std::vector<Json> downloading;
  for (const auto& name : downloads_.running()) {
    if (key == nullptr || tenants::may_ask_for(key->settings, name))
      downloading.push_back(downloading_entry(name));
  }
  const auto models = services_.manager.list();
  const auto names = services_.switcher.names();
  Response reply;
  reply.body = key == nullptr ? router_list(models, names, downloading, std::time(nullptr))
                              : tenant_list(models, names, downloading, key->settings, std::time(nullptr));
  exchange->respond(std::move(reply));
}

void RouterApi::load(RouteCall call) {
  const auto body = route_control_body(call.request().body);
  if (!body) return call.exchange->respond(error_reply(body.error()));
  if (const auto error = downloads_.why_not_ready(body->model))
    return call.exchange->respond(error_reply(*error));
  const auto ref = services_.switcher.resolve(body->model);
  if (!ref) {
    return call.exchange->respond(
        error_reply({ErrorCode::kNotFound, "model is not found", ref.error().message}));
  }
  const auto state = state_of(services_.manager, *ref);
  // A parked model is "sleeping" here, and this is how it is woken.
  if (state && is_running(*state) && *state != models::State::kParked && !body->wait) {
    return call.exchange->respond(error_reply({ErrorCode::kInvalidArgument, "model is already running"}));
  }
  answer_change(
      services_, std::move(call.exchange), body->wait ? Wait::kYes : Wait::kNo,
      [&](models::Manager::Done done) { return services_.manager.load(*ref, std::move(done)); },
      [] { return json_reply(kSuccess); });
}

void RouterApi::unload(RouteCall call) {
  const auto body = route_control_body(call.request().body);
  if (!body) return call.exchange->respond(error_reply(body.error()));
  if (downloads_.cancel(body->model)) return call.exchange->respond(json_reply(kSuccess));
  const auto ref = services_.switcher.resolve(body->model);
  if (!ref) {
    // llama-server's router says 400; its one-model server does not have this path.
    const auto code = services_.options.single_model ? ErrorCode::kNotFound : ErrorCode::kInvalidArgument;
    return call.exchange->respond(error_reply({code, "model is not found", ref.error().message}));
  }
  const auto state = state_of(services_.manager, *ref);
  if (!state || !is_running(*state)) {
    return call.exchange->respond(error_reply({ErrorCode::kInvalidArgument, "model is not running"}));
  }
  answer_change(
      services_, std::move(call.exchange), body->wait ? Wait::kYes : Wait::kNo,
      [&](models::Manager::Done done) { return services_.manager.unload(*ref, std::move(done)); },
      [] { return json_reply(kSuccess); });
}

/// As llama-server says while it sleeps, without being woken.
std::optional<Json> RouterApi::props_of_parked(const std::string& name) const {
  const auto ref = services_.switcher.resolve(name);
  const auto model = ref ? services_.manager.describe(ref->model) : std::unexpected(ref.error());
  if (!model) return std::nullopt;
  const auto version = std::ranges::find(model->versions, *ref, &models::VersionStatus::ref);
  if (version == model->versions.end() || version->state != models::State::kParked) return std::nullopt;
  Json props = Json::parse(*version->props_json, nullptr, false);
  if (!props.is_object()) return std::nullopt;
  props["is_sleeping"] = true;
  return props;
}

void RouterApi::props(RouteCall call) {
  const bool single = services_.options.single_model;
  std::string name = single ? services_.live.get()->default_model : call.request().param("model");
  if (!name.empty()) {
    auto meant = tenants::name_for(
        call.key, name, [this](std::string_view base) { return services_.switcher.is_alias(base); });
    if (!meant) return call.exchange->respond(error_reply(meant.error()));
    name = std::move(*meant);
    if (const auto props = props_of_parked(name)) return call.exchange->respond(json_reply(*props));
    return openai_.look(std::move(call));
  }
  call.exchange->respond(json_reply({
      {"role", "router"},
      {"max_instances", services_.manager.limits().models_max},
      {"models_autoload", services_.live.get()->autoload},
      // llama-server's page wants to see these three; its router has no values for them either.
      {"model_alias", "llama-server"},
      {"model_path", "none"},
      {"default_generation_settings", {{"params", nullptr}, {"n_ctx", 0}}},
      {"ui_settings", Json::object()},
      {"build_info", services_.options.build_info},
      {"cors_proxy_enabled", false},
  }));
}

void RouterApi::start_download(RouteCall call) {
  const auto body = route_control_body(call.request().body);
  if (!body) return call.exchange->respond(error_reply(body.error()));
  services_.executor.post([this, exchange = std::move(call.exchange), name = body->model] {
    const auto started = downloads_.start(name);
    exchange->respond(started ? json_reply(kSuccess) : error_reply(started.error()));
  });
}

void RouterApi::remove(RouteCall call) {
  services_.executor.post([this, exchange = std::move(call.exchange)] {
    const auto removed = downloads_.remove(exchange->request().param("model"));
    exchange->respond(removed ? json_reply(kSuccess) : error_reply(removed.error()));
  });
}

}  // namespace switchyard::http
