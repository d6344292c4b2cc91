#pragma once

#include "http/json.h"
#include "http/router.h"
#include "http/services.h"

namespace switchyard::http {

/// /admin/v1/models/{id}/versions: what versions a model has and has had, adding and removing them.
class VersionApi {
 public:
  explicit VersionApi(Services& services) : services_(services) {}
  void add_routes(Router& router);

 private:
  void list(const RouteCall& call);
  void describe(const RouteCall& call);
  void add(const RouteCall& call);
  void remove(const RouteCall& call);
  /// Runs `work` where it may block, if this server has a registry.
  void run(RouteCall call, void (VersionApi::*work)(const RouteCall&));
  /// The id that `:id` means. Errors: kNotFound.
  [[nodiscard]] Result<std::string> model_of(const RouteCall& call) const;
  [[nodiscard]] Json version_json(const registry::VersionInfo& info) const;
  [[nodiscard]] Result<registry::VersionInfo> find(const std::string& model,
                                                   const std::string& version) const;

  Services& services_;
};

}  // namespace switchyard::http
