#pragma once

#include "http/event_streams.h"
#include "http/residency.h"
#include "http/router.h"
#include "http/services.h"

namespace switchyard::http {

/// /admin/v1: everything there is to know of the models, and what can be done with them.
class AdminApi {
 public:
  AdminApi(Services& services, EventStreams& streams) : services_(services), streams_(streams) {}
  void add_routes(Router& router);

 private:
  using Change = Status (models::Manager::*)(const models::VersionRef&, models::Manager::Done);

  void list(const RouteCall& call);
  void describe(RouteCall call);
  void change(RouteCall call, Change what);
  void pin(const RouteCall& call, bool pinned);
  void reload_config(RouteCall call);
  void events(RouteCall call);
  /// The version that `:id` names: `model`, `model@version`, or whatever requests may say.
  [[nodiscard]] Result<models::VersionRef> version_of(const RouteCall& call) const;
  [[nodiscard]] Response version_reply(const models::VersionRef& ref, int status) const;

  Services& services_;
  EventStreams& streams_;
};

}  // namespace switchyard::http
