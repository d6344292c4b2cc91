#include "tenants/key.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace switchyard::tenants {
namespace {

constexpr std::array kScopes = {std::pair{Scope::kInference, "inference"}, std::pair{Scope::kRead, "read"},
                                std::pair{Scope::kAdmin, "admin"}};
/// What follows the name of an alias or a model: traffic::Switcher::resolve() knows them.
constexpr std::array<std::string_view, 3> kLabels = {"latest", "stable", "previous"};
constexpr std::size_t kLongestName = 256;
constexpr std::size_t kMostNames = 1000;
constexpr std::size_t kLongestMetadata = 16 << 10;
constexpr double kLeastWeight = 0.01, kMostWeight = 1000;
constexpr std::uint64_t kMostOfALimit = 1'000'000'000'000;

Status check_name(std::string_view what, std::string_view name) {
  const bool readable =
      std::ranges::none_of(name, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
  if (!name.empty() && name.size() <= kLongestName && readable) return {};
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("{} must have 1 to {} bytes and no control characters", what, kLongestName));
}

Status check_limit(std::string_view what, std::optional<std::uint64_t> limit) {
  if (!limit || (*limit > 0 && *limit <= kMostOfALimit)) return {};
  return fail(
      ErrorCode::kInvalidArgument,
      fmt::format("'{}' must be from 1 to {}; block the key to let nothing through", what, kMostOfALimit));
}

}  // namespace

std::vector<std::string> Scopes::names() const {
  std::vector<std::string> names;
  for (const auto& [scope, name] : kScopes) {
    if (holds(scope)) names.emplace_back(name);
  }
  return names;
}

Result<Scopes> Scopes::parse(const std::vector<std::string>& names) {
  Scopes scopes;
  for (const std::string& name : names) {
    const auto known = std::ranges::find(kScopes, name, [](const auto& pair) { return pair.second; });
    if (known == kScopes.end()) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("'{}' is no scope: there are inference, read and admin", name));
    }
    scopes.add(known->first);
  }
  if (scopes.empty())
    return fail(ErrorCode::kInvalidArgument, "a key needs a scope: inference, read or admin");
  return scopes;
}

const std::string& name_of(const Key& key) {
  return key.settings.key_alias.empty() ? key.id : key.settings.key_alias;
}

Status check(const KeySettings& settings) {
  if (!settings.key_alias.empty()) {
    if (Status good = check_name("'key_alias'", settings.key_alias); !good) return good;
  }
  if (settings.models.size() > kMostNames || settings.aliases.size() > kMostNames)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("a key has at most {} models and {} aliases", kMostNames, kMostNames));
  for (const std::string& model : settings.models) {
    if (Status good = check_name("a name in 'models'", model); !good) return good;
  }
  for (const auto& [name, target] : settings.aliases) {
    Status good = check_name("a name in 'aliases'", name);
    if (good) good = check_name("a target in 'aliases'", target);
    if (!good) return good;
  }
  if (settings.metadata.size() > kLongestMetadata)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("'metadata' must have at most {} bytes", kLongestMetadata));
  const bool can_be_weighed = settings.weight >= kLeastWeight && settings.weight <= kMostWeight;
  if (!can_be_weighed)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("'weight' must be from {} to {}", kLeastWeight, kMostWeight));
  Status good = check_limit("rpm_limit", settings.limits.rpm);
  if (good) good = check_limit("tpm_limit", settings.limits.tpm);
  if (good) good = check_limit("max_parallel_requests", settings.limits.parallel);
  return good;
}

bool may_ask_for(const KeySettings& settings, std::string_view name) {
  if (settings.models.empty()) return true;
  const std::string_view model = name.substr(0, name.rfind('@'));
  return std::ranges::any_of(settings.models,
                             [&](const std::string& may) { return may == name || may == model; });
}

Result<std::string> name_for(const KeySettings& settings, const std::string& name, const IsAlias& is_alias) {
  if (const auto own = settings.aliases.find(name); own != settings.aliases.end()) return own->second;
  const std::size_t at = name.rfind('@');
  bool may = may_ask_for(settings, name);
  if (may && at != std::string::npos && std::ranges::find(kLabels, name.substr(at + 1)) != kLabels.end()) {
    const std::string base = name.substr(0, at);
    const bool is_restricted =
        !settings.models.empty() && std::ranges::find(settings.models, name) == settings.models.end();
    may = !settings.aliases.contains(base) && !(is_restricted && is_alias(base));
  }
  if (may) return name;
  return fail(ErrorCode::kPermissionDenied, fmt::format("this key may not use the model '{}'", name));
}

Result<std::string> name_for(const KeyPtr& key, const std::string& name, const IsAlias& is_alias) {
  return key == nullptr ? name : name_for(key->settings, name, is_alias);
}

}  // namespace switchyard::tenants
