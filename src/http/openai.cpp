#include "http/openai.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "base/printable.h"
#include "http/body_routing.h"
#include "http/engine_sink.h"
#include "http/errors.h"
#include "http/multipart.h"
#include "http/own_conversation.h"
#include "http/rate_limit.h"
#include "http/request_timeout.h"
#include "http/subject.h"

namespace switchyard::http {
namespace {

/// A slot of the engine works for each of these.
constexpr std::array<std::string_view, 18> kGeneratingRoutes{"/completion",
                                                             "/completions",
                                                             "/v1/completions",
                                                             "/chat/completions",
                                                             "/v1/chat/completions",
                                                             "/v1/responses",
                                                             "/responses",
                                                             "/v1/audio/transcriptions",
                                                             "/audio/transcriptions",
                                                             "/v1/messages",
                                                             "/infill",
                                                             "/embedding",
                                                             "/embeddings",
                                                             "/v1/embeddings",
                                                             "/rerank",
                                                             "/reranking",
                                                             "/v1/rerank",
                                                             "/v1/reranking"};
/// And for none of these.
constexpr std::array<std::string_view, 9> kTextRoutes{"/v1/chat/completions/control",
                                                      "/tokenize",
                                                      "/detokenize",
                                                      "/apply-template",
                                                      "/chat/completions/input_tokens",
                                                      "/v1/chat/completions/input_tokens",
                                                      "/responses/input_tokens",
                                                      "/v1/responses/input_tokens",
                                                      "/v1/messages/count_tokens"};
/// What these change is everybody's.
constexpr std::array<std::string_view, 3> kControlRoutes{"/lora-adapters", "/slots/:id_slot", "/props"};
/// Bodies up to this size are read on the loop thread; longer ones would hold up other connections.
constexpr std::size_t kQuickBody = 64 << 10;

bool generates(std::string_view path) {
  return std::ranges::find(kGeneratingRoutes, path) != kGeneratingRoutes.end();
}

constexpr std::size_t kLongestSegment = 64;  // bytes

/// An estimate for texts of most languages, with what a chat template adds.
constexpr std::uint64_t kBytesOfAToken = 3;
constexpr std::uint64_t kTokensOfATemplate = 32;
/// Of a reply whose request names no most.
constexpr std::uint64_t kUsualReply = 512;

tenants::Ahead tokens_ahead(std::string_view path, const BodyRouting& routing) {
  if (!generates(path)) return {};
  const std::uint64_t prompt = routing.text_bytes / kBytesOfAToken + routing.token_ids + kTokensOfATemplate;
  if (stream_form(path) == StreamForm::kOther)
    return {.tokens = prompt, .is_bound = true};  // embeddings, ranks
  // Beyond every context, and every number of slots.
  constexpr std::uint64_t kMost = 10'000'000, kMostReplies = 100'000;
  const std::uint64_t reply = std::min(routing.max_tokens.value_or(kUsualReply), kMost);
  const std::uint64_t replies =
      std::min(routing.replies, kMostReplies) * std::min(routing.prompts, kMostReplies);
  return {.tokens = prompt + reply * std::min(replies, kMostReplies),
          .is_bound = routing.max_tokens.has_value()};
}

Outermost outermost_of(std::string_view path) {
  return path == "/lora-adapters" ? Outermost::kObjectOrArray : Outermost::kObject;
}

}  // namespace

engine::Request engine_request(const RouteCall& call) {
  const Request& from = call.request();
  engine::Request to;
  to.method = from.method == "HEAD" ? "GET" : from.method;
  to.path = call.path;
  to.query_string = from.raw_query;
  for (const auto& [name, value] : from.query) to.params[name] = value;
  for (const auto& [name, value] : call.path_params) to.params[name] = value;
  Headers headers = from.headers;
  headers.erase("X-Conversation-Id");  // the gateway gives engines their own
  for (const auto& [name, value] : headers) to.headers[name] = value;
  return to;
}

void OpenAiApi::add_routes(Router& router) {
  const auto add_post = [&](std::string_view path, Access access) {
    router.add("POST", std::string(path), [this](RouteCall call) { post(std::move(call)); }, access);
  };
  for (const auto path : kGeneratingRoutes) add_post(path, Access::kInference);
  for (const auto path : kTextRoutes) add_post(path, Access::kInference);
  for (const auto path : kControlRoutes) add_post(path, Access::kAdmin);
  router.add("GET", "/lora-adapters", [this](RouteCall call) { get(std::move(call)); }, Access::kRead);
  // What others ask is in there.
  router.add("GET", "/slots", [this](RouteCall call) { look(std::move(call)); }, Access::kAdmin);
}

void OpenAiApi::get(RouteCall call) {
  const models::MakeHot allowed = make_hot(call.request());
  ask(std::move(call), allowed);
}

void OpenAiApi::look(RouteCall call) {
  if (services_.options.single_model) return get(std::move(call));
  ask(std::move(call), models::MakeHot::kNothing);
}

void OpenAiApi::ask(RouteCall call, models::MakeHot allowed) {
  gateway::CallOptions options{.model = call.request().param("model"), .make_hot = allowed};
  engine::Request request = engine_request(call);
  run(std::move(call), std::move(options), std::move(request), std::nullopt);
}

void OpenAiApi::post(RouteCall call) {
  if (call.request().body.size() <= kQuickBody) {
    post_parsed(std::move(call));
    return;
  }
  services_.executor.post([this, call = std::move(call)]() mutable { post_parsed(std::move(call)); });
}

void OpenAiApi::post_parsed(RouteCall call) {
  engine::Request request = engine_request(call);
  const Dialect dialect = dialect_of(call.path);
  if (is_multipart(call.request())) {
    auto form = parse_multipart(call.request().header("Content-Type"), call.request().body);
    if (!form) return call.exchange->respond(error_reply(form.error(), dialect));
    request.body = std::move(form->json);
    request.files = std::move(form->files);
  } else {
    request.body = call.request().body;
  }
  // Erasing a slot needs no body; every other body is JSON.
  const bool bodyless = request.body.empty() && call.path.starts_with("/slots/");
  auto routing =
      bodyless ? Result<BodyRouting>(BodyRouting{}) : route_body(request.body, outermost_of(call.path));
  if (!routing) return call.exchange->respond(error_reply(routing.error(), dialect));
  gateway::CallOptions options{
      .model = std::move(routing->model),
      .make_hot = make_hot(call.request()),
      .conversation = own_conversation(call.key, call.request().header("X-Conversation-Id"))};
  if (options.model.empty()) options.model = call.request().param("model");
  options.takes_slot = generates(call.path);
  options.tier = routing->tier;
  const Asked asked{.user = routing->user, .ahead = tokens_ahead(call.path, *routing)};
  run(std::move(call), std::move(options), std::move(request), asked);
}

/// With --model any name is the one model's.
Result<std::string> OpenAiApi::model_for(const tenants::KeyPtr& key, const std::string& asked) const {
  if (key == nullptr) return asked;
  const bool any_name = services_.options.single_model && !services_.switcher.resolve(asked);
  const bool is_own = key->settings.aliases.contains(asked);
  return tenants::name_for(key, any_name && !is_own ? services_.live.get()->default_model : asked,
                           [this](std::string_view name) { return services_.switcher.is_alias(name); });
}

models::MakeHot OpenAiApi::make_hot(const Request& request) const {
  const std::string autoload = request.param("autoload");
  const bool may_load =
      autoload.empty() ? services_.live.get()->autoload : autoload == "true" || autoload == "1";
  return may_load ? models::MakeHot::kAnything : models::MakeHot::kInMemory;
}

void OpenAiApi::run(RouteCall call, gateway::CallOptions options, engine::Request request,
                    const std::optional<Asked>& asked) {
  const Dialect dialect = dialect_of(call.path);
  if (options.model.empty()) options.model = services_.live.get()->default_model;
  if (options.model.empty()) {
    return call.exchange->respond(
        error_reply({ErrorCode::kInvalidArgument, "model name is missing from the request"}, dialect));
  }
  auto model = model_for(call.key, options.model);
  if (!model) return call.exchange->respond(error_reply(model.error(), dialect));
  options.model = std::move(*model);
  const auto patience = request_timeout(call.request().headers);
  if (!patience) return call.exchange->respond(error_reply(patience.error(), dialect));
  if (options.conversation.empty()) options.patience = *patience;  // others outlive their clients
  options.request_id = call.line->id();
  if (const auto split = services_.switcher.split_of(options.model); split != nullptr)
    options.subject = subject_of(call.request(), split->sticky_header, asked ? asked->user : "",
                                 call.key == nullptr ? std::string_view() : call.key->id, options.request_id);
  if (const std::string header = services_.experiments.segment_header(options.model); !header.empty())
    options.segment = printable_line(call.request().header(header)).substr(0, kLongestSegment);
  options.observer = [line = call.line](const gateway::RequestRecord& record) { line->asked_engine(record); };
  std::optional<tenants::Permit> permit;
  if (call.key != nullptr) {
    options.tenant = call.key->id;
    options.weight = call.key->settings.weight;
    if (!services_.live.get()->shared_conversations) request.owner = call.key->id;
    const tenants::Limits& limits = call.key->settings.limits;
    if (asked && limits.any()) {
      auto admitted = services_.tenants.limiter.admit(call.key->id, limits, asked->ahead);
      if (!admitted) return call.exchange->respond(limited_reply(admitted.error(), dialect));
      permit.emplace(std::move(*admitted));
    }
  }
  std::shared_ptr<gateway::ReplySink> sink = std::make_shared<EngineSink>(
      std::move(call.exchange), stream_form(request.path), EngineSink::Rewrite(), std::move(permit));
  services_.copies.watch(options, request, sink);
  services_.gateway.run(std::move(options), std::move(request), std::move(sink));
}

}  // namespace switchyard::http
