#include "http/auth.h"

#include <string_view>

namespace switchyard::http {

std::string presented_secret(const Request& request) {
  std::string header = request.header("Authorization");
  if (header.empty()) header = request.header("X-Api-Key");
  constexpr std::string_view kBearer = "Bearer ";
  return header.starts_with(kBearer) ? header.substr(kBearer.size()) : header;
}

bool is_open(const tenants::SecretSet& own, const tenants::Keyring& keyring) {
  return own.empty() && keyring.is_open();
}

Result<tenants::KeyPtr> authenticate(const tenants::SecretSet& own, const tenants::Keyring& keyring,
                                     const Request& request) {
  if (is_open(own, keyring)) return nullptr;
  const std::string secret = presented_secret(request);
  if (own.contains(secret)) return nullptr;
  return keyring.authenticate(secret);
}

bool allows(Access access, const tenants::KeyPtr& key) {
  if (key == nullptr) return true;
  const tenants::Scopes& scopes = key->settings.scopes;
  switch (access) {
    case Access::kKeyless:
    case Access::kAnyKey: return true;
    case Access::kInference: return scopes.has(tenants::Scope::kInference);
    case Access::kRead: return scopes.has(tenants::Scope::kRead);
    case Access::kAdmin: return scopes.has(tenants::Scope::kAdmin);
  }
  return false;
}

}  // namespace switchyard::http
