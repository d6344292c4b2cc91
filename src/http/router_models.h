#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/json.h"
#include "models/types.h"
#include "tenants/key.h"
#include "traffic/types.h"

// Models as llama-server's router shows them. Pure functions.

namespace switchyard::http {

/// The router's word for a state: "unloaded", "loading", "loaded" or "sleeping".
[[nodiscard]] std::string_view router_status(models::State state);
/// True for what the router calls running.
[[nodiscard]] bool is_running(models::State state);

/// One entry of /v1/models. `name` is the id that requests use for this version.
[[nodiscard]] Json router_entry(const models::ModelStatus& model, const models::VersionStatus& version,
                                const std::string& name, const std::vector<traffic::Alias>& aliases,
                                std::int64_t now);

/// All entries: each model by its id, which is the version that `names` says or the newest, and its
/// further versions as `model@version`; then the `further` ones. JSON text.
[[nodiscard]] std::string router_list(const std::vector<models::ModelStatus>& models,
                                      const std::vector<traffic::Alias>& names,
                                      const std::vector<Json>& further, std::int64_t now);

/// What a key sees of them: what it may ask for, each by a name that it may say, and its own aliases.
[[nodiscard]] std::string tenant_list(const std::vector<models::ModelStatus>& models,
                                      const std::vector<traffic::Alias>& names,
                                      const std::vector<Json>& further, const tenants::KeySettings& key,
                                      std::int64_t now);

/// Of a one-model server, for a key that may not use that model.
[[nodiscard]] Json empty_list();

/// What a one-model llama-server says of its model; none before its first load.
[[nodiscard]] std::optional<Json> single_list(const models::ModelStatus& model,
                                              const models::VersionStatus& version, std::int64_t now);

}  // namespace switchyard::http
