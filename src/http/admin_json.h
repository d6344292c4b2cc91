#pragma once

#include <map>
#include <string>

#include "health/types.h"
#include "http/json.h"
#include "models/types.h"
#include "telemetry/event_bus.h"

// What /admin/v1 says of models and events. Pure functions.

namespace switchyard::http {

/// How versions are; one that is not there is kUnknown.
using Verdicts = std::map<models::VersionRef, health::Health>;

[[nodiscard]] Json admin_model(const models::ModelStatus& model, const Verdicts& verdicts);
[[nodiscard]] Json admin_version(const models::ModelStatus& model, const models::VersionStatus& version,
                                 const Verdicts& verdicts);
/// "id: 7\nevent: state\ndata: {...}\n\n"
[[nodiscard]] std::string admin_event_frame(const telemetry::Event& event);

/// "hot", "parked" or "cold": where the weights are.
[[nodiscard]] std::string_view residency_of(models::State state);

}  // namespace switchyard::http
