#pragma once

#include <optional>
#include <string_view>

#include "http/router.h"
#include "http/services.h"
#include "tenants/limiter.h"

namespace switchyard::http {

/// llama-server's routes that one model answers: OpenAI's, Anthropic's and its own. The body goes on
/// as it came; only `model` is read from it.
class OpenAiApi {
 public:
  explicit OpenAiApi(Services& services) : services_(services) {}
  void add_routes(Router& router);

  /// Hands a GET to the model of ?model=, or the default one.
  void get(RouteCall call);
  /// The same for what only looks at a model: one of several must be hot, and is not made so.
  void look(RouteCall call);
  void post(RouteCall call);

 private:
  void ask(RouteCall call, models::MakeHot allowed);
  void post_parsed(RouteCall call);
  [[nodiscard]] models::MakeHot make_hot(const Request& request) const;
  /// What a request that is held to its key's limits says of itself; looking at a model is not held to them.
  struct Asked {
    std::string_view user = {};
    tenants::Ahead ahead = {};
  };
  void run(RouteCall call, gateway::CallOptions options, engine::Request request,
           const std::optional<Asked>& asked);
  [[nodiscard]] Result<std::string> model_for(const tenants::KeyPtr& key, const std::string& asked) const;

  Services& services_;
};

/// `call` as the engine's handlers take it, with `path` as theirs.
[[nodiscard]] engine::Request engine_request(const RouteCall& call);

}  // namespace switchyard::http
