#pragma once

#include "http/router.h"
#include "http/server.h"
#include "tenants/keyring.h"
#include "tenants/secret.h"

namespace switchyard::http {

/// The key in `Authorization: Bearer KEY` or, without that header, `X-Api-Key: KEY`; empty for neither.
[[nodiscard]] std::string presented_secret(const Request& request);

/// True when a request needs no key at all: neither the server nor a tenant has one.
[[nodiscard]] bool is_open(const tenants::SecretSet& own, const tenants::Keyring& keyring);

/// Who asks, by the key in `Authorization: Bearer KEY` or, without that header, `X-Api-Key: KEY`. Null: one
/// of the server's `own` keys, or an open server; these have every right and no limit. Errors: those of
/// Keyring::authenticate(). The time tells nothing of the keys that there are.
[[nodiscard]] Result<tenants::KeyPtr> authenticate(const tenants::SecretSet& own,
                                                   const tenants::Keyring& keyring, const Request& request);

/// Whether `key`, as authenticate() gives it, may have a route.
[[nodiscard]] bool allows(Access access, const tenants::KeyPtr& key);

}  // namespace switchyard::http
