#include "http/alerts_api.h"

#include "http/alert_json.h"
#include "http/errors.h"

namespace switchyard::http {

void AlertsApi::add_routes(Router& router) {
  router.add(
      "GET", "/admin/v1/alerts",
      [this](const RouteCall& call) {
        const auto& report = services_.options.alerts;
        call.exchange->respond(json_reply(alerts_json(report ? report() : alerts::Report())));
      },
      Access::kRead);
}

}  // namespace switchyard::http
