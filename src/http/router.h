#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "http/server.h"

namespace switchyard::http {

using PathParams = std::map<std::string, std::string>;

/// One matched request.
struct RouteCall {
  ExchangePtr exchange;
  PathParams path_params;  ///< decoded
  std::string path;        ///< decoded, without the API prefix

  [[nodiscard]] const Request& request() const { return exchange->request(); }
};
using RouteHandler = std::function<void(RouteCall)>;

enum class Access : std::uint8_t {
  kKeyed,    ///< asks for a key once the server has one
  kKeyless,  ///< never
};

struct Route {
  std::string method;
  std::string pattern;  ///< "/slots/:id_slot"; a segment that begins with ':' takes any one segment
  Access access = Access::kKeyed;
  RouteHandler handler;
};

/// Method and path to handler. Filled at start, then read by any thread.
class Router {
 public:
  void add(std::string method, std::string pattern, RouteHandler handler, Access access = Access::kKeyed);

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
