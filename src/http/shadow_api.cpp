#include "http/shadow_api.h"

#include <utility>

#include "http/body_fields.h"
#include "http/errors.h"
#include "http/shadow_json.h"

namespace switchyard::http {
namespace {

const std::string& alias_of(const RouteCall& call) { return call.path_params.at("alias"); }

}  // namespace

void ShadowApi::add_routes(Router& router) {
  const std::string one = "/admin/v1/aliases/:alias/shadow";
  router.add("GET", "/admin/v1/shadows", [this](const RouteCall& call) { list(call); }, Access::kRead);
  router.add("GET", one, [this](const RouteCall& call) { describe(call); }, Access::kRead);
  router.add("PUT", one, [this](const RouteCall& call) { put(call); }, Access::kAdmin);
  router.add("DELETE", one, [this](const RouteCall& call) { stop(call); }, Access::kAdmin);
  // What users asked is in there.
  router.add("GET", one + "/replies", [this](const RouteCall& call) { replies(call); }, Access::kAdmin);
}

void ShadowApi::answer(const RouteCall& call, const Result<traffic::ShadowStatus>& status) const {
  call.exchange->respond(status ? json_reply(shadow_json(*status, services_.copies.waiting(status->alias)))
                                : error_reply(status.error()));
}

void ShadowApi::list(const RouteCall& call) {
  Json list = Json::array();
  for (const auto& shadow : services_.shadows.list())
    list.push_back(shadow_json(shadow, services_.copies.waiting(shadow.alias)));
  call.exchange->respond(json_reply({{"shadows", std::move(list)}}));
}

void ShadowApi::describe(const RouteCall& call) { answer(call, services_.shadows.describe(alias_of(call))); }

void ShadowApi::put(const RouteCall& call) {
  const auto body =
      read_body(call, {"to", "fraction", "similarity_model", "keep_replies", "beside_users", "max_tokens"});
  if (!body) return call.exchange->respond(error_reply(body.error()));
  const auto to = read_target(*body);
  if (!to) return call.exchange->respond(error_reply(to.error()));
  auto plan = read_shadow_plan(*body);
  if (!plan) return call.exchange->respond(error_reply(plan.error()));
  services_.executor.post([this, call, to = *to, plan = *std::move(plan)] {
    answer(call, services_.shadows.set({.alias = alias_of(call), .to = to, .plan = plan, .who = call.who()}));
  });
}

void ShadowApi::stop(const RouteCall& call) {
  services_.executor.post([this, call] { answer(call, services_.shadows.stop(alias_of(call), call.who())); });
}

void ShadowApi::replies(const RouteCall& call) {
  services_.executor.post([this, call] {
    const auto pairs = services_.shadows.pairs(alias_of(call));
    if (!pairs) return call.exchange->respond(error_reply(pairs.error()));
    Json list = Json::array();
    for (const auto& pair : *pairs) list.push_back(pair_json(pair));
    call.exchange->respond(json_reply({{"replies", std::move(list)}}));
  });
}

}  // namespace switchyard::http
