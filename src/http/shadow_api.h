#pragma once

#include "http/router.h"
#include "http/services.h"

namespace switchyard::http {

/// /admin/v1/aliases/{alias}/shadow: a version that gets copies of some of an alias's requests.
class ShadowApi {
 public:
  explicit ShadowApi(Services& services) : services_(services) {}
  void add_routes(Router& router);

 private:
  void list(const RouteCall& call);
  void describe(const RouteCall& call);
  void put(const RouteCall& call);
  void stop(const RouteCall& call);
  void replies(const RouteCall& call);
  void answer(const RouteCall& call, const Result<traffic::ShadowStatus>& status) const;

  Services& services_;
};

}  // namespace switchyard::http
