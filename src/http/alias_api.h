#pragma once

#include "http/residency.h"
#include "http/router.h"
#include "http/services.h"

namespace switchyard::http {

/// /admin/v1/aliases: public names, where they point, how they got there, and moving them.
class AliasApi {
 public:
  explicit AliasApi(Services& services) : services_(services) {}
  void add_routes(Router& router);

 private:
  void list(RouteCall call);
  void describe(RouteCall call);
  void put(RouteCall call);
  void remove(RouteCall call);
  void begin_switch(RouteCall call);
  void cancel(RouteCall call);
  void rollback(RouteCall call);

  void move(const RouteCall& call, traffic::SwitchRequest request, Wait wait);
  void preview(const RouteCall& call, traffic::SwitchRequest request);

  Services& services_;
};

}  // namespace switchyard::http
