#pragma once

#include "http/router.h"
#include "http/services.h"

namespace switchyard::http {

/// /admin/v1/aliases/{alias}/canary: a version that gets a growing part of an alias's requests.
class CanaryApi {
 public:
  explicit CanaryApi(Services& services) : services_(services) {}
  void add_routes(Router& router);

 private:
  void list(const RouteCall& call);
  void describe(RouteCall call);
  void start(const RouteCall& call);
  void command(const RouteCall& call, traffic::Canaries::Command command);
  [[nodiscard]] traffic::Canaries::Done answer(const RouteCall& call, int status);

  Services& services_;
};

/// What a canary counts of a request.
[[nodiscard]] traffic::CanaryObservation canary_observation(const gateway::RequestRecord& record);

}  // namespace switchyard::http
