#pragma once

#include "http/router.h"
#include "http/services.h"

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
  /// What is generated is held to the key's limits; looking at a model is not.
  enum class Counts : std::uint8_t { kNo, kAsARequest };
  void run(RouteCall call, gateway::CallOptions options, engine::Request request, Counts counts,
           std::string_view user);
  [[nodiscard]] Result<std::string> model_for(const tenants::KeyPtr& key, const std::string& asked) const;

  Services& services_;
};

/// `call` as the engine's handlers take it, with `path` as theirs.
[[nodiscard]] engine::Request engine_request(const RouteCall& call);

}  // namespace switchyard::http
