#include "http/streams.h"

#include <utility>

#include "http/engine_sink.h"
#include "http/errors.h"
#include "http/openai.h"

namespace switchyard::http {

void StreamsApi::add_routes(Router& router) {
  router.add("GET", "/v1/stream", [this](RouteCall call) { read(std::move(call)); });
  router.add("POST", "/v1/streams/lookup", [this](RouteCall call) { lookup(std::move(call)); });
  router.add("DELETE", "/v1/stream", [this](RouteCall call) { stop(std::move(call)); });
}

void StreamsApi::read(RouteCall call) {
  const std::string conversation = call.request().param("conv_id");
  if (!conversation.empty() && services_.gateway.conversation_is_held(conversation)) {
    return call.exchange->respond(
        error_reply({ErrorCode::kUnavailable, "Stream owner model is loading, retry later"}));
  }
  pass_on(std::move(call));
}

void StreamsApi::lookup(RouteCall call) {
  // llama-server's router answers a body that it cannot read with an empty list.
  if (const auto body = parse_object(call.request().body); !body) {
    const bool too_large = body.error().code == ErrorCode::kTooLarge;
    return call.exchange->respond(too_large ? error_reply(body.error()) : json_reply(Json::array()));
  }
  pass_on(std::move(call));
}

void StreamsApi::stop(RouteCall call) {
  if (const std::string conversation = call.request().param("conv_id"); !conversation.empty()) {
    services_.gateway.stop_conversation(conversation);
  }
  pass_on(std::move(call));
}

void StreamsApi::pass_on(RouteCall call) {
  engine::Request request = engine_request(call);
  request.body = call.request().body;
  services_.gateway.run_process(std::move(request),
                                std::make_shared<EngineSink>(std::move(call.exchange), StreamForm::kOther));
}

}  // namespace switchyard::http
