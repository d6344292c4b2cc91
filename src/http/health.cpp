#include "http/health.h"

#include "http/errors.h"

namespace switchyard::http {

void Health::add_routes(Router& router) {
  for (const char* path : {"/health", "/v1/health"}) {
    router.add(
        "GET", path, [](const RouteCall& call) { call.exchange->respond(json_reply({{"status", "ok"}})); },
        Access::kKeyless, WhenCrowded::kAnswers);
  }
  router.add(
      "GET", "/ready",
      [this](const RouteCall& call) {
        call.exchange->respond(manager_.can_answer()
                                   ? json_reply({{"status", "ok"}})
                                   : error_reply(503, "unavailable_error",
                                                 "no model can answer: all have failed or are quarantined"));
      },
      Access::kKeyless, WhenCrowded::kAnswers);
}

Response Health::not_ready() const {
  return error_reply(503, "unavailable_error",
                     readiness_ == Readiness::kStarting ? "Loading model" : "The server is shutting down");
}

}  // namespace switchyard::http
