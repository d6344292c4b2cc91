#pragma once

#include "http/router.h"
#include "http/services.h"

namespace switchyard::http {

/// /admin/v1/health: how every model is and was, and the end of a quarantine.
class HealthApi {
 public:
  explicit HealthApi(Services& services) : services_(services) {}
  void add_routes(Router& router);

 private:
  void list(const RouteCall& call);
  void release(const RouteCall& call);

  Services& services_;
};

}  // namespace switchyard::http
