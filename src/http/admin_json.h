#pragma once

#include <string>

#include "http/json.h"
#include "models/types.h"
#include "telemetry/event_bus.h"

// What /admin/v1 says of models and events. Pure functions.

namespace switchyard::http {

[[nodiscard]] Json admin_model(const models::ModelStatus& model);
[[nodiscard]] Json admin_version(const models::ModelStatus& model, const models::VersionStatus& version);
/// "id: 7\nevent: state\ndata: {...}\n\n"
[[nodiscard]] std::string admin_event_frame(const telemetry::Event& event);

/// "hot", "parked" or "cold": where the weights are.
[[nodiscard]] std::string_view residency_of(models::State state);

}  // namespace switchyard::http
