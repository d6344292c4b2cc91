#include "http/alias_api.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "http/alias_json.h"
#include "http/body_fields.h"
#include "http/errors.h"
#include "http/subject.h"

namespace switchyard::http {
namespace {

constexpr std::size_t kHistory = 50;
constexpr std::size_t kMostHistory = 1000;

const std::string& alias_of(const RouteCall& call) { return call.path_params.at("alias"); }

/// Everything that PUT, switch and rollback may say of how to move.
Result<traffic::SwitchOptions> read_options(const RouteCall& call, const Json& body) {
  traffic::SwitchOptions options;
  const auto policy = read_text(body, "policy");
  if (!policy) return std::unexpected(policy.error());
  if (*policy) {
    const auto known = traffic::parse<traffic::Policy>(**policy);
    if (!known) {
      return fail(ErrorCode::kInvalidArgument,
                  "'policy' must be availability_preserving or resource_preserving");
    }
    options.policy = *known;
  }
  const auto keep = read_text(body, "keep_old");
  if (!keep) return std::unexpected(keep.error());
  if (*keep) {
    const auto known = traffic::parse<traffic::KeepOld>(**keep);
    if (!known) return fail(ErrorCode::kInvalidArgument, "'keep_old' must be parked, cold or hot");
    options.keep_old = *known;
  }
  if (options.policy == traffic::Policy::kResourcePreserving && options.keep_old == traffic::KeepOld::kHot) {
    return fail(ErrorCode::kInvalidArgument,
                "'keep_old' hot contradicts the policy resource_preserving: the old version goes first");
  }
  const auto timeout = read_duration(body, "drain_timeout");
  if (!timeout) return std::unexpected(timeout.error());
  if (*timeout) options.drain_timeout = **timeout;
  const auto force = read_flag(body, "force", false);
  if (!force) return std::unexpected(force.error());
  options.force = *force;
  const auto why = read_text(body, "why");
  if (!why) return std::unexpected(why.error());
  options.why = why->value_or("");
  options.who = call.who();
  return options;
}

constexpr const char* kArms = "'split' must be a list of {\"to\": \"model@version\", \"weight\": percent}";

/// "split" and "sticky"; nothing where there is no "split".
Result<std::optional<traffic::SplitSpec>> read_split(const Json& body) {
  traffic::SplitSpec spec;
  auto sticky = read_sticky(body);
  if (!sticky) return std::unexpected(sticky.error());
  spec.sticky_header = *std::move(sticky);
  const auto list = body.find("split");
  if (list == body.end()) {
    if (spec.sticky_header) return fail(ErrorCode::kInvalidArgument, "'sticky' needs a 'split'");
    return std::optional<traffic::SplitSpec>();
  }
  if (!list->is_array()) return fail(ErrorCode::kInvalidArgument, kArms);
  for (const Json& item : *list) {
    const bool is_arm = item.is_object() && item.size() == 2 && item.contains("to") &&
                        item.at("to").is_string() && item.contains("weight") && item.at("weight").is_number();
    if (!is_arm) return fail(ErrorCode::kInvalidArgument, kArms);
    spec.arms.push_back({item.at("to").get<std::string>(), item.at("weight").get<double>()});
  }
  return std::optional(std::move(spec));
}

Response switch_reply(const traffic::SwitchReport& report, int status) {
  Json body = switch_json(report);
  if (report.error) {
    // The error first, where every client looks for it, with what it ended.
    Json error = error_object(*report.error);
    error["code"] = status;
    error["phase"] = to_string(report.phase);
    error["outcome"] = to_string(report.outcome);
    error["serving"] = report.serving.model.empty() ? Json(nullptr) : Json(report.serving.to_string());
    body = {{"error", std::move(error)}, {"switch", std::move(body)}};
  }
  Response reply = json_reply(body, status);
  if (status == 503 || status == 504) reply.headers.emplace("Retry-After", "1");
  return reply;
}

}  // namespace

void AliasApi::add_routes(Router& router) {
  const std::string one = "/admin/v1/aliases/:alias";
  router.add("GET", "/admin/v1/aliases", [this](const RouteCall& call) { list(call); }, Access::kRead);
  router.add("GET", one, [this](RouteCall call) { describe(std::move(call)); }, Access::kRead);
  router.add("PUT", one, [this](const RouteCall& call) { put(call); }, Access::kAdmin);
  router.add("DELETE", one, [this](const RouteCall& call) { remove(call); }, Access::kAdmin);
  router.add("POST", one + "/switch", [this](const RouteCall& call) { begin_switch(call); }, Access::kAdmin);
  router.add("DELETE", one + "/switch", [this](const RouteCall& call) { cancel(call); }, Access::kAdmin);
  router.add("POST", one + "/rollback", [this](const RouteCall& call) { rollback(call); }, Access::kAdmin);
}

void AliasApi::list(const RouteCall& call) {
  Json list = Json::array();
  for (const auto& alias : services_.switcher.aliases()) list.push_back(alias_json(alias));
  call.exchange->respond(json_reply({{"aliases", std::move(list)}}));
}

void AliasApi::describe(RouteCall call) {
  std::size_t limit = kHistory;
  if (const std::string asked = call.request().param("history"); !asked.empty()) {
    const auto [end, error] = std::from_chars(asked.data(), asked.data() + asked.size(), limit);
    if (error != std::errc() || end != asked.data() + asked.size() || limit > kMostHistory) {
      return call.exchange->respond(
          error_reply({ErrorCode::kInvalidArgument, "'history' must be a number of lines, 1000 at most"}));
    }
  }
  services_.executor.post([this, call = std::move(call), limit] {
    const auto status = services_.switcher.describe(alias_of(call));
    if (!status) return call.exchange->respond(error_reply(status.error()));
    const auto history = services_.switcher.history(status->alias.name, limit);
    if (!history) return call.exchange->respond(error_reply(history.error()));
    Json body = alias_json(*status);
    body["labels"] = Json::object();
    for (const char* label : {"latest", "stable", "previous"}) {
      const auto ref = services_.switcher.resolve(status->alias.name + "@" + label);
      body["labels"][label] = ref ? Json(ref->to_string()) : Json(nullptr);
    }
    body["history"] = Json::array();
    for (const auto& line : *history) body["history"].push_back(switch_json(line));
    call.exchange->respond(json_reply(body));
  });
}

void AliasApi::move(const RouteCall& call, traffic::SwitchRequest request, Wait wait) {
  // Told by the switcher, which lives longer than this.
  request.done = [exchange = call.exchange, gate = services_.gate,
                  wait](const traffic::SwitchReport& report) {
    const bool was_answered = wait == Wait::kNo && report.id != 0;
    if (was_answered) return;
    gate->pass([&] {
      const int status = report.error ? status_of(report) : report.kind == traffic::Kind::kCreate ? 201 : 200;
      exchange->respond(switch_reply(report, status));
    });
  };
  if (wait == Wait::kNo) {
    request.begun = [exchange = call.exchange, gate = services_.gate](const traffic::SwitchReport& report) {
      gate->pass([&] { exchange->respond(switch_reply(report, 202)); });
    };
  }
  services_.switcher.move(std::move(request));
}

void AliasApi::preview(const RouteCall& call, traffic::SwitchRequest request) {
  services_.switcher.preview(std::move(request), [exchange = call.exchange, gate = services_.gate](
                                                     const Result<traffic::SwitchPreview>& preview) {
    gate->pass([&] {
      exchange->respond(preview ? json_reply(preview_json(*preview)) : error_reply(preview.error()));
    });
  });
}

void AliasApi::put(const RouteCall& call) {
  const auto body = read_body(call, {"to", "split", "sticky", "wait", "policy", "keep_old", "drain_timeout",
                                     "force", "why", "fallbacks"});
  if (!body) return call.exchange->respond(error_reply(body.error()));
  const auto wait = read_wait(*body);
  if (!wait) return call.exchange->respond(error_reply(wait.error()));
  auto split = read_split(*body);
  if (!split) return call.exchange->respond(error_reply(split.error()));
  if (*split && body->contains("to")) {
    return call.exchange->respond(
        error_reply({ErrorCode::kInvalidArgument, "an alias has a 'to' or a 'split', not both"}));
  }
  const auto to = *split ? Result<std::string>() : read_target(*body);
  if (!to) return call.exchange->respond(error_reply(to.error()));
  auto options = read_options(call, *body);
  if (!options) return call.exchange->respond(error_reply(options.error()));
  auto fallbacks = read_texts(*body, "fallbacks");
  if (!fallbacks) return call.exchange->respond(error_reply(fallbacks.error()));
  move(call,
       {.alias = alias_of(call),
        .to = *to,
        .options = std::move(*options),
        .when_missing = traffic::WhenMissing::kMake,
        .fallbacks = std::move(*fallbacks),
        .split = *std::move(split)},
       *wait);
}

void AliasApi::begin_switch(const RouteCall& call) {
  const auto body =
      read_body(call, {"to", "wait", "policy", "keep_old", "drain_timeout", "force", "why", "dry_run"});
  if (!body) return call.exchange->respond(error_reply(body.error()));
  const auto wait = read_wait(*body);
  if (!wait) return call.exchange->respond(error_reply(wait.error()));
  const auto to = read_target(*body);
  if (!to) return call.exchange->respond(error_reply(to.error()));
  const auto dry_run = read_flag(*body, "dry_run", false);
  if (!dry_run) return call.exchange->respond(error_reply(dry_run.error()));
  auto options = read_options(call, *body);
  if (!options) return call.exchange->respond(error_reply(options.error()));
  traffic::SwitchRequest request{.alias = alias_of(call), .to = *to, .options = std::move(*options)};
  if (*dry_run) return preview(call, std::move(request));
  move(call, std::move(request), *wait);
}

void AliasApi::rollback(const RouteCall& call) {
  const auto body =
      read_body(call, {"wait", "policy", "keep_old", "drain_timeout", "force", "why", "dry_run"});
  if (!body) return call.exchange->respond(error_reply(body.error()));
  const auto wait = read_wait(*body);
  if (!wait) return call.exchange->respond(error_reply(wait.error()));
  const auto dry_run = read_flag(*body, "dry_run", false);
  if (!dry_run) return call.exchange->respond(error_reply(dry_run.error()));
  auto options = read_options(call, *body);
  if (!options) return call.exchange->respond(error_reply(options.error()));
  traffic::SwitchRequest request{
      .alias = alias_of(call), .to = {}, .options = std::move(*options), .kind = traffic::Kind::kRollback};
  if (*dry_run) return preview(call, std::move(request));
  move(call, std::move(request), *wait);
}

void AliasApi::cancel(const RouteCall& call) {
  services_.switcher.cancel(alias_of(call), [this, exchange = call.exchange, gate = services_.gate,
                                             alias = alias_of(call)](const Status& done) {
    gate->pass([&] {
      if (!done) return exchange->respond(error_reply(done.error()));
      const auto status = services_.switcher.describe(alias);
      exchange->respond(json_reply(
          {{"alias", alias}, {"serving", status ? Json(status->alias.to.to_string()) : Json(nullptr)}}));
    });
  });
}

void AliasApi::remove(const RouteCall& call) {
  auto options = read_options(call, Json::object());
  if (!options) return call.exchange->respond(error_reply(options.error()));
  services_.switcher.remove(alias_of(call), *options,
                            [this, exchange = call.exchange, gate = services_.gate, alias = alias_of(call),
                             who = call.who()](const Status& done) {
                              gate->pass([&] {
                                if (!done) return exchange->respond(error_reply(done.error()));
                                services_.executor.post([this, exchange, alias, who] {
                                  services_.shadows.alias_removed(alias, who);
                                  services_.experiments.alias_removed(alias);
                                  exchange->respond(json_reply({{"removed", alias}}));
                                });
                              });
                            });
}

}  // namespace switchyard::http
