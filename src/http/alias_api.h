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
  void list(const RouteCall& call);
  void describe(RouteCall call);
  void put(const RouteCall& call);
  void remove(const RouteCall& call);
  void begin_switch(const RouteCall& call);
  void cancel(const RouteCall& call);
  void rollback(const RouteCall& call);

  void move(const RouteCall& call, traffic::SwitchRequest request, Wait wait);
  void preview(const RouteCall& call, traffic::SwitchRequest request);

  Services& services_;
};

}  // namespace switchyard::http
