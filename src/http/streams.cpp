#include "http/streams.h"

#include <utility>

#include "http/errors.h"
#include "http/openai.h"
#include "http/own_conversation.h"

namespace switchyard::http {
namespace {

/// What llama.cpp found, under the ids that clients gave; of each conversation its newest stream.
std::string with_plain_ids(const std::string& found, const gateway::StreamOwners& streams,
                           const tenants::KeyPtr& asking) {
  const Json all = Json::parse(found, nullptr, false);
  if (!all.is_array()) return found;
  Json list = Json::array();
  for (Json stream : all) {
    const std::string key = stream.value("conversation_id", "");
    const std::string conversation(gateway::conversation_of(key));
    if (key != streams.newest_key(conversation)) continue;
    stream["conversation_id"] = without_owner(asking, conversation);
    list.push_back(std::move(stream));
  }
  return to_text(list);
}

}  // namespace

void StreamsApi::add_routes(Router& router) {
  router.add("GET", "/v1/stream", [this](RouteCall call) { read(std::move(call)); }, Access::kInference);
  router.add(
      "POST", "/v1/streams/lookup", [this](RouteCall call) { lookup(std::move(call)); }, Access::kInference);
  router.add("DELETE", "/v1/stream", [this](RouteCall call) { stop(std::move(call)); }, Access::kInference);
}

void StreamsApi::read(RouteCall call) {
  engine::Request request = engine_request(call);
  if (const std::string conversation = own_conversation(call.key, call.request().param("conv_id"));
      !conversation.empty()) {
    if (services_.gateway.conversation_is_held(conversation)) {
      return call.exchange->respond(
          error_reply({ErrorCode::kUnavailable, "Stream owner model is loading, retry later"}));
    }
    request.params["conv_id"] = services_.gateway.streams().newest_key(conversation);
  }
  pass_on(std::move(call), std::move(request));
}

void StreamsApi::lookup(RouteCall call) {
  const auto body = parse_object(call.request().body);
  if (!body) {
    // llama-server's router answers a body that it cannot read with an empty list.
    const bool refused = services_.options.single_model || body.error().code == ErrorCode::kTooLarge;
    return call.exchange->respond(refused ? error_reply(body.error()) : json_reply(Json::array()));
  }
  engine::Request request = engine_request(call);
  const auto& streams = services_.gateway.streams();
  Json keys = Json::array();
  if (const auto ids = body->find("conversation_ids"); ids != body->end() && ids->is_array()) {
    for (const Json& id : *ids) {
      if (!id.is_string() || id.get_ref<const std::string&>().empty()) continue;
      for (auto& key : streams.keys_to_look_up(own_conversation(call.key, id.get<std::string>())))
        keys.push_back(std::move(key));
    }
  }
  request.body = to_text({{"conversation_ids", std::move(keys)}});
  EngineSink::Rewrite rewrite = [&streams, key = call.key](const std::string& found) {
    return with_plain_ids(found, streams, key);
  };
  pass_on(std::move(call), std::move(request), std::move(rewrite));
}

void StreamsApi::stop(RouteCall call) {
  std::string conversation = own_conversation(call.key, call.request().param("conv_id"));
  if (conversation.empty()) {
    engine::Request request = engine_request(call);
    return pass_on(std::move(call), std::move(request));
  }
  services_.executor.post(
      [this, exchange = std::move(call.exchange), conversation = std::move(conversation)] {
        services_.gateway.stop_conversation(conversation);
        exchange->respond({.status = 204, .content_type = "application/json", .body = {}});
      });
}

void StreamsApi::pass_on(RouteCall call, engine::Request request, EngineSink::Rewrite rewrite) {
  services_.gateway.run_process(
      std::move(request),
      std::make_shared<EngineSink>(std::move(call.exchange), StreamForm::kOther, std::move(rewrite)));
}

}  // namespace switchyard::http
