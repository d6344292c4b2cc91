#pragma once

#include <string>
#include <vector>

#include "http/json.h"
#include "http/router.h"
#include "store/usage_store.h"
#include "tenants/keyring.h"

// Keys and their usage as /admin/v1 shows and reads them, with LiteLLM's names. Pure functions.

namespace switchyard::http {

/// Without anything that would open a door.
[[nodiscard]] Json key_json(const tenants::Key& key);
/// The same with its secret, which is shown here and never again.
[[nodiscard]] Json issued_json(const tenants::IssuedKey& issued);

/// What the body says of a key; what it does not name stays as it is, and null takes a limit, an expiry or
/// an alias away. `now` is what a duration counts from. Errors: kInvalidArgument, naming the key of the body.
[[nodiscard]] Result<tenants::KeyChange> read_key_change(const RouteCall& call, tenants::WallTime now);

/// Days as text; `name_of` is what people call a key.
[[nodiscard]] Json usage_json(const store::UsageRow& row, const std::string& name);
/// The same as lines of RFC 4180, the names of the columns first.
[[nodiscard]] std::string usage_csv(const std::vector<Json>& rows);

}  // namespace switchyard::http
