#pragma once

#include <vector>

#include "alerts/monitor.h"
#include "base/host_memory.h"
#include "experiments/recorder.h"
#include "gateway/sampler.h"
#include "health/types.h"
#include "models/manager.h"
#include "telemetry/metrics.h"
#include "traffic/shadows.h"

// Metrics that are read off the state of things when somebody asks. Pure functions.

namespace switchyard::http {

/// llama-server's own metrics, with a label for the model.
[[nodiscard]] std::vector<telemetry::MetricFamily> engine_families(
    const std::map<std::string, gateway::Sampler::Totals>& totals);

/// Residency, leases and memory of every version, and the manager's counters.
[[nodiscard]] std::vector<telemetry::MetricFamily> model_families(
    const std::vector<models::ModelStatus>& models, const models::Counters& counters);

/// How the versions are that have been hot or have failed.
[[nodiscard]] std::vector<telemetry::MetricFamily> health_families(
    const std::vector<models::ModelStatus>& models,
    const std::map<models::VersionRef, health::VersionHealth>& health);

/// What is kept of conversations whose engine is away.
[[nodiscard]] std::vector<telemetry::MetricFamily> conversation_families(
    const engine::ConversationStats& stats);

/// The machine's memory, and the host's part of the budget.
[[nodiscard]] std::vector<telemetry::MetricFamily> memory_families(const HostMemory& memory,
                                                                   const models::Limits& limits,
                                                                   ByteSize reserved);

/// What fires, and what the rules' values are.
[[nodiscard]] std::vector<telemetry::MetricFamily> alert_families(const alerts::Report& report);

/// What became of the requests that shadows have copied.
[[nodiscard]] std::vector<telemetry::MetricFamily> shadow_families(
    const std::vector<traffic::ShadowStatus>& shadows);

/// What became of observations for experiments.
[[nodiscard]] std::vector<telemetry::MetricFamily> experiment_families(const experiments::Losses& losses);

}  // namespace switchyard::http
