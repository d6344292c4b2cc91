#pragma once

#include "http/router.h"
#include "http/services.h"

namespace switchyard::http {

/// GET /admin/v1/alerts: what fires, what has fired, and the rules. Any thread.
class AlertsApi {
 public:
  explicit AlertsApi(Services& services) : services_(services) {}
  void add_routes(Router& router);

 private:
  Services& services_;
};

}  // namespace switchyard::http
