#pragma once

#include "http/router.h"
#include "http/services.h"

namespace switchyard::http {

/// /admin/v1/experiments: begun, looked at, stopped, reported; POST /v1/feedback. Any thread.
class ExperimentApi {
 public:
  explicit ExperimentApi(Services& services) : services_(services) {}
  void add_routes(Router& router);

 private:
  void begin(RouteCall call);
  void list(const RouteCall& call);
  void describe(const RouteCall& call);
  void stop(RouteCall call);
  void remove(RouteCall call);
  void report(const RouteCall& call);
  void feedback(const RouteCall& call);

  Services& services_;
};

}  // namespace switchyard::http
