#include "http/keys_api.h"

#include <utility>

#include "http/auth.h"
#include "http/body_fields.h"
#include "http/errors.h"
#include "http/key_json.h"

namespace switchyard::http {
namespace {

const std::string& key_of(const RouteCall& call) { return call.path_params.at("key"); }

Response key_reply(const Result<tenants::KeyPtr>& key) {
  return key ? json_reply(key_json(**key)) : error_reply(key.error());
}

/// Whose usage is asked for: anybody's by an administrator, one's own by every other.
Result<std::string> key_for_usage(const RouteCall& call, const tenants::Keyring& keyring) {
  const std::string name = call.request().param("key");
  const auto named = keyring.find(name);
  std::string asked = named ? (*named)->id : name;  // revoked ones by their id
  if (allows(Access::kAdmin, call.key)) return asked;
  if (asked.empty() || asked == call.key->id) return call.key->id;
  return fail(ErrorCode::kPermissionDenied, "this key may see its own usage only");
}

}  // namespace

void KeysApi::add_routes(Router& router) {
  const std::string all = "/admin/v1/keys";
  const std::string one = all + "/:key";
  const auto add = [&](const char* method, const std::string& path, Work work, Access access) {
    router.add(method, path, [this, work](RouteCall call) { run(std::move(call), work); }, access);
  };
  add("GET", all, &KeysApi::list, Access::kAdmin);
  add("POST", all, &KeysApi::create, Access::kAdmin);
  add("GET", one, &KeysApi::describe, Access::kAdmin);
  add("DELETE", one, &KeysApi::revoke, Access::kAdmin);
  add("POST", one + "/update", &KeysApi::update, Access::kAdmin);
  add("POST", one + "/rotate", &KeysApi::rotate, Access::kAdmin);
  add("POST", one + "/block", &KeysApi::block, Access::kAdmin);
  add("POST", one + "/unblock", &KeysApi::unblock, Access::kAdmin);
  add("GET", "/admin/v1/usage", &KeysApi::usage, Access::kRead);
}

void KeysApi::run(RouteCall call, Work work) {
  services_.executor.post(
      [this, call = std::move(call), work] { call.exchange->respond((this->*work)(call)); });
}

Response KeysApi::create(const RouteCall& call) const {
  const auto change = read_key_change(call, tenants::Keyring::system_time());
  if (!change) return error_reply(change.error());
  tenants::KeySettings settings;
  change->apply_to(settings);
  // Keys that the server was started with are administrators': nobody would be locked out.
  const bool has_own = !services_.live.get()->api_keys.empty();
  const auto created = services_.tenants.keyring.create(
      std::move(settings), has_own ? tenants::AdminKey::kNone : tenants::AdminKey::kBesideTheFirst);
  if (!created) return error_reply(created.error());
  Json body = issued_json(created->key);
  if (created->admin) {
    body["admin_key"] = created->admin->secret;
    body["admin_token_id"] = created->admin->key->id;
  }
  return json_reply(body, 201);
}

Response KeysApi::list(const RouteCall& /*call*/) const {
  ArrayText keys;
  for (const auto& key : services_.tenants.keyring.keys()) keys.add(key_json(*key));
  Response reply;
  reply.body = R"({"keys":)" + std::move(keys).take() + "}";
  return reply;
}

Response KeysApi::describe(const RouteCall& call) const {
  return key_reply(services_.tenants.keyring.find(key_of(call)));
}

Response KeysApi::update(const RouteCall& call) const {
  const auto change = read_key_change(call, tenants::Keyring::system_time());
  if (!change) return error_reply(change.error());
  return key_reply(services_.tenants.keyring.update(key_of(call), *change));
}

Response KeysApi::set_blocked(const RouteCall& call, bool blocked) const {
  if (const auto body = read_body(call, {}); !body) return error_reply(body.error());
  return key_reply(services_.tenants.keyring.update(key_of(call), {.blocked = blocked}));
}

Response KeysApi::block(const RouteCall& call) const { return set_blocked(call, true); }
Response KeysApi::unblock(const RouteCall& call) const { return set_blocked(call, false); }

Response KeysApi::rotate(const RouteCall& call) const {
  if (const auto body = read_body(call, {}); !body) return error_reply(body.error());
  const auto issued = services_.tenants.keyring.rotate(key_of(call));
  return issued ? json_reply(issued_json(*issued)) : error_reply(issued.error());
}

Response KeysApi::revoke(const RouteCall& call) const {
  if (const auto body = read_body(call, {}); !body) return error_reply(body.error());
  const auto revoked = services_.tenants.keyring.revoke(key_of(call));
  if (!revoked) return error_reply(revoked.error());
  services_.tenants.limiter.forget((*revoked)->id);
  return json_reply({{"revoked", (*revoked)->id}});
}

Response KeysApi::usage(const RouteCall& call) const {
  const std::string format = call.request().param("format", "json");
  if (format != "json" && format != "csv")
    return error_reply({ErrorCode::kInvalidArgument, "'format' must be json or csv"});
  const tenants::Keyring& keyring = services_.tenants.keyring;
  auto key = key_for_usage(call, keyring);
  if (!key) return error_reply(key.error());
  const auto rows = services_.tenants.usage.report(
      {.from = call.request().param("from"), .to = call.request().param("to"), .key_id = std::move(*key)});
  if (!rows) return error_reply(rows.error());
  std::vector<Json> shown;
  for (const auto& row : *rows) shown.push_back(usage_json(row, keyring.name_of_id(row.key_id)));
  if (format == "json") return json_reply({{"usage", std::move(shown)}});
  Response reply;
  reply.content_type = "text/csv; charset=utf-8";
  reply.body = usage_csv(shown);
  return reply;
}

}  // namespace switchyard::http
