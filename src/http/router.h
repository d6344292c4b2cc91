#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/request_line.h"
#include "http/server.h"
#include "tenants/key.h"

namespace switchyard::http {

using PathParams = std::map<std::string, std::string>;

/// One matched request.
struct RouteCall {
  ExchangePtr exchange;
  PathParams path_params;                  ///< decoded
  std::string path;                        ///< decoded, without the API prefix
  std::shared_ptr<RequestLine> line = {};  ///< of the log; never null for a handler
  tenants::KeyPtr key = {};                ///< who asks; null: somebody with every right (see authenticate())

  [[nodiscard]] const Request& request() const { return exchange->request(); }
  /// Whom a history names: "api from 127.0.0.1".
  [[nodiscard]] std::string who() const;
};
using RouteHandler = std::function<void(RouteCall)>;

/// What it takes to be answered, once the server has a key.
enum class Access : std::uint8_t {
  kKeyless,    ///< nothing
  kAnyKey,     ///< a key, whatever its scopes
  kInference,  ///< a key with that scope
  kRead,
  kAdmin,
};

/// Whether a route answers on a connection that the server has no room for (Request::crowded).
enum class WhenCrowded : std::uint8_t { kRefuses, kAnswers };

struct Route {
  std::string method;
  std::string pattern;  ///< "/slots/:id_slot"; a segment that begins with ':' takes any one segment
  Access access = Access::kAdmin;
  RouteHandler handler;
  WhenCrowded when_crowded = WhenCrowded::kRefuses;
};

/// Method and path to handler. Filled at start, then read by any thread. Every route says who may have it:
/// there is no default that a new one could slip through.
class Router {
 public:
  void add(std::string method, std::string pattern, RouteHandler handler, Access access,
           WhenCrowded when_crowded = WhenCrowded::kRefuses);

  struct Match {
    const Route* route = nullptr;  ///< null: no such route
    PathParams params;
  };
  /// `raw_path` is percent-encoded and begins after the API prefix; HEAD means GET.
  [[nodiscard]] Match match(std::string_view method, std::string_view raw_path) const;
  [[nodiscard]] const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
  std::map<std::string, std::size_t, std::less<>> exact_;  // "GET /health" -> index
  std::vector<std::size_t> patterns_;
};

}  // namespace switchyard::http
