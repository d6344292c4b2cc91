#pragma once

#include <functional>

#include "http/router.h"
#include "http/services.h"

namespace switchyard::http {

/// /admin/v1/keys and /admin/v1/usage: tenants' keys, and what they have used. Every change is on disk, and
/// holds for the next request, when it is answered.
class KeysApi {
 public:
  explicit KeysApi(Services& services) : services_(services) {}
  void add_routes(Router& router);

 private:
  using Work = Response (KeysApi::*)(const RouteCall&) const;

  /// On a worker: the state database may block.
  void run(RouteCall call, Work work);
  [[nodiscard]] Response create(const RouteCall& call) const;
  [[nodiscard]] Response list(const RouteCall& call) const;
  [[nodiscard]] Response describe(const RouteCall& call) const;
  [[nodiscard]] Response update(const RouteCall& call) const;
  [[nodiscard]] Response block(const RouteCall& call) const;
  [[nodiscard]] Response unblock(const RouteCall& call) const;
  [[nodiscard]] Response rotate(const RouteCall& call) const;
  [[nodiscard]] Response revoke(const RouteCall& call) const;
  [[nodiscard]] Response usage(const RouteCall& call) const;
  [[nodiscard]] Response set_blocked(const RouteCall& call, bool blocked) const;

  Services& services_;
};

}  // namespace switchyard::http
