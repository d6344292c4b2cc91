#include "http/version_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "http/body_fields.h"
#include "http/errors.h"
#include "http/time_text.h"

namespace switchyard::http {
namespace {

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Result<std::map<std::string, std::string>> read_args(const Json& body) {
  std::map<std::string, std::string> args;
  const auto given = body.find("args");
  if (given == body.end()) return args;
  if (!given->is_object())
    return fail(ErrorCode::kInvalidArgument, "'args' must be an object of llama-server options");
  for (const auto& [name, value] : given->items()) {
    if (value.is_object() || value.is_array() || value.is_null()) {
      return fail(ErrorCode::kInvalidArgument, "'args." + name + "' must be text, a number, true or false");
    }
    args[name] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return args;
}

Result<NewVersion> read_new_version(const RouteCall& call) {
  const auto body = read_body(call, {"version", "file", "args", "notes", "sha256"});
  if (!body) return std::unexpected(body.error());
  NewVersion version;
  const std::pair<const char*, std::string*> texts[] = {{"version", &version.version},
                                                        {"file", &version.file},
                                                        {"notes", &version.notes},
                                                        {"sha256", &version.sha256}};
  for (const auto& [key, out] : texts) {
    const auto text = read_text(*body, key);
    if (!text) return std::unexpected(text.error());
    *out = text->value_or("");
    if (out->contains('\0')) return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' holds a NUL", key));
  }
  if (version.file.empty()) return fail(ErrorCode::kInvalidArgument, "'file' must name a GGUF file");
  auto args = read_args(*body);
  if (!args) return std::unexpected(args.error());
  version.args = std::move(*args);
  version.who = call.who();
  return version;
}

}  // namespace

void VersionApi::add_routes(Router& router) {
  const std::string all = "/admin/v1/models/:id/versions";
  router.add("GET", all, [this](RouteCall call) { run(std::move(call), &VersionApi::list); }, Access::kRead);
  router.add("POST", all, [this](RouteCall call) { run(std::move(call), &VersionApi::add); }, Access::kAdmin);
  router.add(
      "GET", all + "/:version", [this](RouteCall call) { run(std::move(call), &VersionApi::describe); },
      Access::kRead);
  router.add(
      "DELETE", all + "/:version", [this](RouteCall call) { run(std::move(call), &VersionApi::remove); },
      Access::kAdmin);
}

void VersionApi::run(RouteCall call, void (VersionApi::*work)(const RouteCall&)) {
  if (!services_.options.versions.list) {
    return call.exchange->respond(
        error_reply({ErrorCode::kUnimplemented, "this server has no version registry"}));
  }
  services_.executor.post([this, call = std::move(call), work] { (this->*work)(call); });
}

Result<std::string> VersionApi::model_of(const RouteCall& call) const {
  const std::string& id = call.path_params.at("id");
  const auto model = services_.manager.describe(id);
  if (model) return model->definition->id;
  if (const auto ref = services_.manager.resolve(id)) return ref->model;
  return std::unexpected(model.error());
}

Json VersionApi::version_json(const registry::VersionInfo& info) const {
  Json names = Json::array();
  for (const auto& name : services_.switcher.names()) {
    if (means(name, info.ref)) names.push_back(name.name);
  }
  const auto standing = services_.manager.standing(info.ref);
  return Json{
      {"id", info.ref.to_string()},
      {"model", info.ref.model},
      {"version", info.ref.version},
      {"file", info.file},
      {"args", info.args},
      {"sha256", text_or_null(info.sha256)},
      {"pinned_sha256", text_or_null(info.pinned_sha256)},
      {"notes", info.notes},
      {"added_by", info.added_by},
      {"added_at",
       time_text(std::chrono::sys_time<std::chrono::milliseconds>(std::chrono::milliseconds(info.added)))},
      {"replaced_by", info.replaced_by ? Json(info.replaced_by->to_string()) : Json(nullptr)},
      {"catalogued", standing.has_value()},
      {"state", standing ? Json(to_string(standing->state)) : Json(nullptr)},
      {"leases", standing ? standing->leases : 0},
      {"names", std::move(names)}};
}

void VersionApi::list(const RouteCall& call) {
  const auto model = model_of(call);
  if (!model) return call.exchange->respond(error_reply(model.error()));
  const auto versions = services_.options.versions.list(*model);
  if (!versions) return call.exchange->respond(error_reply(versions.error()));
  Json list = Json::array();
  for (const auto& version : *versions) list.push_back(version_json(version));
  call.exchange->respond(json_reply({{"model", *model}, {"versions", std::move(list)}}));
}

Result<registry::VersionInfo> VersionApi::find(const std::string& model, const std::string& version) const {
  const auto versions = services_.options.versions.list(model);
  if (!versions) return std::unexpected(versions.error());
  for (const auto& info : *versions) {
    if (info.ref.version == version) return info;
  }
  return fail(ErrorCode::kNotFound, "model '" + model + "' has no version '" + version + "'");
}

void VersionApi::describe(const RouteCall& call) {
  const auto model = model_of(call);
  if (!model) return call.exchange->respond(error_reply(model.error()));
  const auto version = find(*model, call.path_params.at("version"));
  call.exchange->respond(version ? json_reply(version_json(*version)) : error_reply(version.error()));
}

void VersionApi::add(const RouteCall& call) {
  auto asked = read_new_version(call);
  if (!asked) return call.exchange->respond(error_reply(asked.error()));
  const auto model = model_of(call);
  if (!model) return call.exchange->respond(error_reply(model.error()));
  asked->model = *model;
  const auto added = services_.options.versions.add(*asked);
  if (!added) return call.exchange->respond(error_reply(added.error()));
  const auto version = find(added->model, added->version);
  call.exchange->respond(version ? json_reply(version_json(*version), 201) : error_reply(version.error()));
}

void VersionApi::remove(const RouteCall& call) {
  const auto body = read_body(call, {});
  if (!body) return call.exchange->respond(error_reply(body.error()));
  const auto model = model_of(call);
  if (!model) return call.exchange->respond(error_reply(model.error()));
  const models::VersionRef ref{*model, call.path_params.at("version")};
  const Status removed = services_.options.versions.remove(ref);
  call.exchange->respond(removed ? json_reply({{"removed", ref.to_string()}}) : error_reply(removed.error()));
}

}  // namespace switchyard::http
