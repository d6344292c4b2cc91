#include "tenants/keyring.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "telemetry/log.h"
#include "tenants/secret.h"

namespace switchyard::tenants {
namespace {

std::int64_t to_number(WallTime time) { return time.time_since_epoch().count(); }
/// 0 is kept for "never": one that expired with the epoch is expired all the same.
std::int64_t to_stored_time(WallTime time) { return to_number(time) == 0 ? 1 : to_number(time); }
WallTime to_time(std::int64_t number) { return WallTime(std::chrono::milliseconds(number)); }

std::optional<std::int64_t> to_stored(std::optional<std::uint64_t> limit) {
  return limit ? std::optional(static_cast<std::int64_t>(*limit)) : std::nullopt;
}
std::optional<std::uint64_t> to_limit(std::optional<std::int64_t> stored) {
  return stored ? std::optional(static_cast<std::uint64_t>(*stored)) : std::nullopt;
}

store::KeyRow to_row(const Key& key) {
  const KeySettings& settings = key.settings;
  return {.id = key.id,
          .hash = key.hash,
          .key_alias = settings.key_alias,
          .scopes = fmt::format("{}", fmt::join(settings.scopes.names(), ",")),
          .models = settings.models,
          .aliases = {settings.aliases.begin(), settings.aliases.end()},
          .rpm_limit = to_stored(settings.limits.rpm),
          .tpm_limit = to_stored(settings.limits.tpm),
          .max_parallel_requests = to_stored(settings.limits.parallel),
          .weight = settings.weight,
          .blocked = settings.blocked,
          .created = to_number(key.created),
          .expires = settings.expires ? to_stored_time(*settings.expires) : 0,
          .revoked = key.revoked ? to_number(*key.revoked) : 0,
          .metadata = settings.metadata};
}

Scopes scopes_of(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    names.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return Scopes::parse(names).value_or(Scopes());  // what this program does not know lets nothing through
}

KeyPtr from_row(const store::KeyRow& row) {
  Key key{.id = row.id, .hash = row.hash, .settings = {}, .created = to_time(row.created)};
  key.settings = {
      .key_alias = row.key_alias,
      .scopes = scopes_of(row.scopes),
      .models = row.models,
      .aliases = {row.aliases.begin(), row.aliases.end()},
      .limits = {to_limit(row.rpm_limit), to_limit(row.tpm_limit), to_limit(row.max_parallel_requests)},
      .weight = row.weight,
      .blocked = row.blocked,
      .metadata = row.metadata};
  if (row.expires != 0) key.settings.expires = to_time(row.expires);
  if (row.revoked != 0) key.revoked = to_time(row.revoked);
  return std::make_shared<const Key>(std::move(key));
}

template <typename T>
void set(T& to, const std::optional<T>& from) {
  if (from) to = *from;
}

}  // namespace

void KeyChange::apply_to(KeySettings& settings) const {
  set(settings.key_alias, key_alias);
  set(settings.scopes, scopes);
  set(settings.models, models);
  set(settings.aliases, aliases);
  set(settings.limits.rpm, rpm);
  set(settings.limits.tpm, tpm);
  set(settings.limits.parallel, parallel);
  set(settings.weight, weight);
  set(settings.blocked, blocked);
  set(settings.expires, expires);
  set(settings.metadata, metadata);
}

Keyring::Keyring(store::KeyStore store, Now now) : store_(store), now_(std::move(now)) {}

WallTime Keyring::system_time() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

Keyring::TablePtr Keyring::table() const {
  const MutexLock lock(mutex_);
  return table_;
}

Status Keyring::load() {
  const MutexLock changing(changing_);
  const auto rows = store_.keys();
  if (!rows) return std::unexpected(rows.error());
  auto next = std::make_shared<Table>();
  for (const store::KeyRow& row : *rows) {
    next->keys.push_back(from_row(row));
    if (!row.hash.empty()) next->live[row.hash] = next->keys.back();
  }
  const MutexLock lock(mutex_);
  table_ = std::move(next);
  return {};
}

Result<KeyPtr> Keyring::authenticate(std::string_view secret) const {
  const TablePtr now = table();
  const auto found = now->live.find(hash_of(secret));
  // llama-server's words, to the letter.
  if (found == now->live.end()) return fail(ErrorCode::kUnauthenticated, "Invalid API Key");
  const KeySettings& settings = found->second->settings;
  if (settings.expires && now_() >= *settings.expires)
    return fail(ErrorCode::kUnauthenticated, "this API key has expired");
  if (settings.blocked) return fail(ErrorCode::kPermissionDenied, "this API key is blocked");
  return found->second;
}

std::vector<KeyPtr> Keyring::keys() const {
  std::vector<KeyPtr> keys = table()->keys;
  std::erase_if(keys, [](const KeyPtr& key) { return key->is_revoked(); });
  return keys;
}

Result<KeyPtr> Keyring::find(std::string_view name) const {
  for (const KeyPtr& key : table()->keys) {
    const bool called = key->id == name || (!name.empty() && key->settings.key_alias == name);
    if (called && !key->is_revoked()) return key;
  }
  return fail(ErrorCode::kNotFound, fmt::format("there is no key '{}'", name));
}

std::string Keyring::name_of_id(const std::string& id) const {
  const TablePtr now = table();
  const auto key = std::ranges::find(now->keys, id, [](const KeyPtr& any) { return any->id; });
  return key == now->keys.end() ? id : name_of(**key);
}

Status Keyring::keep(const std::vector<KeyPtr>& changed) {
  std::vector<store::KeyRow> rows;
  for (const KeyPtr& key : changed) rows.push_back(to_row(*key));
  if (Status kept = store_.put(rows); !kept) return kept;
  auto next = std::make_shared<Table>(*table());
  for (const KeyPtr& key : changed) {
    const auto old = std::ranges::find(next->keys, key->id, [](const KeyPtr& any) { return any->id; });
    if (old == next->keys.end()) {
      next->keys.push_back(key);
    } else {
      next->live.erase((*old)->hash);
      *old = key;
    }
    if (!key->hash.empty()) next->live[key->hash] = key;
  }
  const MutexLock lock(mutex_);
  table_ = std::move(next);
  return {};
}

Status Keyring::check_change(const KeySettings& settings, std::string_view id) const {
  if (Status good = check(settings); !good) return good;
  if (settings.key_alias.empty()) return {};
  const auto other = find(settings.key_alias);
  if (!other || (*other)->id == id) return {};
  return fail(ErrorCode::kConflict, fmt::format("there is a key '{}' already", settings.key_alias));
}

IssuedKey Keyring::issue(KeySettings settings) const {
  std::string secret = new_secret();
  return {
      .key = std::make_shared<const Key>(Key{
          .id = new_key_id(), .hash = hash_of(secret), .settings = std::move(settings), .created = now_()}),
      .secret = std::move(secret)};
}

Result<Keyring::Created> Keyring::create(KeySettings settings, AdminKey admin) {
  const MutexLock changing(changing_);
  if (const Status good = check_change(settings, ""); !good) return std::unexpected(good.error());
  if (settings.expires && *settings.expires <= now_()) {
    return fail(ErrorCode::kInvalidArgument,
                "this key would have expired already: is the clock of this machine right?");
  }
  const bool is_admin = settings.scopes.has(Scope::kAdmin) && !settings.blocked && !settings.expires;
  Created created{.key = issue(std::move(settings))};
  std::vector<KeyPtr> added = {created.key.key};
  if (admin == AdminKey::kBesideTheFirst && is_open() && !is_admin) {
    const bool taken = created.key.key->settings.key_alias == "admin";
    created.admin = issue({.key_alias = taken ? "" : "admin", .scopes = {Scope::kAdmin}});
    added.push_back(created.admin->key);
  }
  if (const Status kept = keep(added); !kept) return std::unexpected(kept.error());
  for (const KeyPtr& key : added) telemetry::log_info("tenants", "key {} was made", name_of(*key));
  return created;
}

Result<KeyPtr> Keyring::update(std::string_view name, const KeyChange& change) {
  const MutexLock changing(changing_);
  const auto key = find(name);
  if (!key) return key;
  Key next = **key;
  change.apply_to(next.settings);
  if (const Status good = check_change(next.settings, next.id); !good) return std::unexpected(good.error());
  auto changed = std::make_shared<const Key>(std::move(next));
  if (const Status kept = keep({changed}); !kept) return std::unexpected(kept.error());
  return changed;
}

Result<IssuedKey> Keyring::rotate(std::string_view name) {
  const MutexLock changing(changing_);
  const auto key = find(name);
  if (!key) return std::unexpected(key.error());
  IssuedKey issued{.key = nullptr, .secret = new_secret()};
  Key next = **key;
  next.hash = hash_of(issued.secret);
  issued.key = std::make_shared<const Key>(std::move(next));
  if (const Status kept = keep({issued.key}); !kept) return std::unexpected(kept.error());
  telemetry::log_info("tenants", "key {} has a new secret", name_of(*issued.key));
  return issued;
}

Result<KeyPtr> Keyring::revoke(std::string_view name) {
  const MutexLock changing(changing_);
  const auto key = find(name);
  if (!key) return key;
  Key next = **key;
  next.hash.clear();
  next.revoked = now_();
  auto revoked = std::make_shared<const Key>(std::move(next));
  if (const Status kept = keep({revoked}); !kept) return std::unexpected(kept.error());
  telemetry::log_info("tenants", "key {} was revoked", name_of(*revoked));
  return revoked;
}

}  // namespace switchyard::tenants
