#pragma once

#include <vector>

#include "gateway/sampler.h"
#include "models/manager.h"
#include "telemetry/metrics.h"

// Metrics that are read off the state of things when somebody asks. Pure functions.

namespace switchyard::http {

/// llama-server's own metrics, with a label for the model.
[[nodiscard]] std::vector<telemetry::MetricFamily> engine_families(
    const std::map<std::string, gateway::Sampler::Totals>& totals);

/// Residency, leases and memory of every version, and the manager's counters.
[[nodiscard]] std::vector<telemetry::MetricFamily> model_families(
    const std::vector<models::ModelStatus>& models, const models::Counters& counters);

/// What is kept of conversations whose engine is away.
[[nodiscard]] std::vector<telemetry::MetricFamily> conversation_families(
    const engine::ConversationStats& stats);

}  // namespace switchyard::http
