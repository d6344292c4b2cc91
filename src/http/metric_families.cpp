#include "http/metric_families.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>

namespace switchyard::http {
namespace {

using gateway::Sampler;
using telemetry::MetricFamily;
using telemetry::MetricType;

struct EngineMetric {
  const char* name;
  const char* help;
  MetricType type;
  double (*value)(const Sampler::Totals&);
};

// Names, help and types are llama-server's.
constexpr std::array kEngineMetrics{
    EngineMetric{"llamacpp:prompt_tokens_total", "Number of prompt tokens processed, excluding cached tokens",
                 MetricType::kCounter,
                 [](const auto& t) { return static_cast<double>(t.counted.prompt_tokens); }},
    EngineMetric{"llamacpp:prompt_seconds_total", "Total time spent processing prompts", MetricType::kCounter,
                 [](const auto& t) { return t.counted.prompt_seconds; }},
    EngineMetric{"llamacpp:tokens_predicted_total", "Number of generation tokens processed",
                 MetricType::kCounter,
                 [](const auto& t) { return static_cast<double>(t.counted.predicted_tokens); }},
    EngineMetric{"llamacpp:tokens_predicted_seconds_total", "Total time spent generating tokens",
                 MetricType::kCounter, [](const auto& t) { return t.counted.predicted_seconds; }},
    EngineMetric{
        "llamacpp:n_decode_total",
        "Total number of llama_decode() calls, excluding speculative decoding and multimodal decoding",
        MetricType::kCounter, [](const auto& t) { return static_cast<double>(t.counted.decode_calls); }},
    EngineMetric{"llamacpp:n_tokens_max", "Largest observed sequence length (prompt + generation)",
                 MetricType::kCounter,
                 [](const auto& t) { return static_cast<double>(t.counted.max_tokens); }},
    EngineMetric{"llamacpp:prompt_tokens_seconds", "Average prompt throughput in tokens/s",
                 MetricType::kGauge, [](const auto& t) { return t.prompt_tokens_per_second; }},
    EngineMetric{"llamacpp:predicted_tokens_seconds", "Average generation throughput in tokens/s",
                 MetricType::kGauge, [](const auto& t) { return t.predicted_tokens_per_second; }},
    EngineMetric{"llamacpp:requests_processing", "Number of requests processing", MetricType::kGauge,
                 [](const auto& t) { return static_cast<double>(t.counted.requests_processing); }},
    EngineMetric{"llamacpp:requests_deferred", "Number of requests deferred", MetricType::kGauge,
                 [](const auto& t) { return static_cast<double>(t.counted.requests_deferred); }},
    EngineMetric{"llamacpp:n_busy_slots_per_decode", "Average number of busy slots per llama_decode() call",
                 MetricType::kGauge,
                 [](const auto& t) {
                   return static_cast<double>(t.counted.busy_slot_sum) /
                          std::max(static_cast<double>(t.counted.decode_calls), 1.0);
                 }},
};

constexpr std::array kStates{models::State::kCold,      models::State::kLoading,  models::State::kWarming,
                             models::State::kHot,       models::State::kDraining, models::State::kParked,
                             models::State::kUnloading, models::State::kFailed};

constexpr std::array kHealths{health::Health::kUnknown, health::Health::kHealthy, health::Health::kDegraded,
                              health::Health::kFailed, health::Health::kQuarantined};

/// The bare id where there is one version only, as everywhere else.
std::string metric_name(const models::ModelStatus& model, const models::VersionStatus& version) {
  return model.versions.size() == 1 ? version.ref.model : version.ref.to_string();
}

void add_bytes(MetricFamily& family, const std::string& model, const engine::MemoryNeed& need) {
  using Item = engine::MemoryNeed::Item;
  constexpr std::array<std::pair<const char*, ByteSize Item::*>, 6> kKinds{
      {{"weights_mapped", &Item::weights_mapped},
       {"weights_private", &Item::weights_private},
       {"context", &Item::context},
       {"compute", &Item::compute},
       {"vocabulary", &Item::vocabulary},
       {"prompt_cache", &Item::prompt_cache}}};
  for (const auto& [kind, member] : kKinds) {
    ByteSize total;
    for (const auto& item : need.items) total += item.*member;
    family.points.push_back(
        {{{"model", model}, {"kind", kind}, {"estimate", "predicted"}}, static_cast<double>(total.bytes())});
  }
}

telemetry::Labels alert_labels(alerts::Rule rule, const std::string& model) {
  telemetry::Labels labels{{"rule", std::string(info_of(rule).name)}};
  if (!model.empty()) labels["model"] = model;
  return labels;
}

}  // namespace

std::vector<MetricFamily> engine_families(const std::map<std::string, Sampler::Totals>& totals) {
  std::vector<MetricFamily> families;
  if (totals.empty()) return families;
  for (const auto& metric : kEngineMetrics) {
    MetricFamily family{metric.name, metric.help, metric.type, {}};
    for (const auto& [model, values] : totals)
      family.points.push_back({{{"model", model}}, metric.value(values)});
    families.push_back(std::move(family));
  }
  return families;
}

std::vector<MetricFamily> model_families(const std::vector<models::ModelStatus>& models,
                                         const models::Counters& counters) {
  MetricFamily state{"switchyard_model_state",
                     "1 for the state that a version is in, 0 for the others",
                     MetricType::kGauge,
                     {}};
  MetricFamily leases{"switchyard_leases", "Requests that an engine works for", MetricType::kGauge, {}};
  MetricFamily waiting{
      "switchyard_waiting", "Requests held until their version is hot", MetricType::kGauge, {}};
  MetricFamily bytes{
      "switchyard_model_bytes", "Bytes that a version takes while hot, by kind", MetricType::kGauge, {}};
  MetricFamily evictions{
      "switchyard_evictions_total", "Engines that made room, by why", MetricType::kCounter, {}};
  MetricFamily loads{"switchyard_loads_total", "Loads, by how they ended", MetricType::kCounter, {}};
  for (const auto& model : models) {
    for (const auto& version : model.versions) {
      const std::string name = metric_name(model, version);
      for (const auto each : kStates) {
        state.points.push_back({{{"model", name}, {"state", std::string(models::to_string(each))}},
                                each == version.state ? 1.0 : 0.0});
      }
      leases.points.push_back({{{"model", name}}, static_cast<double>(version.leases)});
      waiting.points.push_back({{{"model", name}}, static_cast<double>(version.waiting)});
      if (version.inspection) add_bytes(bytes, name, version.inspection->need);
    }
  }
  for (const auto& [reason, count] : counters.evictions) {
    evictions.points.push_back({{{"reason", reason}}, static_cast<double>(count)});
  }
  loads.points = {{{{"result", "ok"}}, static_cast<double>(counters.loads_ok)},
                  {{{"result", "failed"}}, static_cast<double>(counters.loads_failed)},
                  {{{"result", "cancelled"}}, static_cast<double>(counters.loads_cancelled)}};
  return {std::move(state), std::move(leases),    std::move(waiting),
          std::move(bytes), std::move(evictions), std::move(loads)};
}

std::vector<MetricFamily> health_families(const std::vector<models::ModelStatus>& models,
                                          const std::map<models::VersionRef, health::VersionHealth>& health) {
  MetricFamily state{
      "switchyard_health_state",
      "1 for how a version is, 0 for the others; of versions that have been hot or have failed",
      MetricType::kGauge,
      {}};
  MetricFamily restarts{"switchyard_engine_restarts_total",
                        "Engines that took the place of a broken one",
                        MetricType::kCounter,
                        {}};
  MetricFamily lost{"switchyard_lost_bytes",
                    "Bytes of the budget that broken engines hold which do not end",
                    MetricType::kGauge,
                    {}};
  for (const auto& model : models) {
    for (const auto& version : model.versions) {
      const std::string name = metric_name(model, version);
      if (version.lost > ByteSize())
        lost.points.push_back({{{"model", name}}, static_cast<double>(version.lost.bytes())});
      const auto known = health.find(version.ref);
      if (known == health.end()) continue;
      for (const auto each : kHealths) {
        state.points.push_back({{{"model", name}, {"state", std::string(health::to_string(each))}},
                                each == known->second.health ? 1.0 : 0.0});
      }
      restarts.points.push_back({{{"model", name}}, static_cast<double>(known->second.restarts)});
    }
  }
  return {std::move(state), std::move(restarts), std::move(lost)};
}

std::vector<MetricFamily> conversation_families(const engine::ConversationStats& stats) {
  const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  return {{"switchyard_conversation_bytes",
           "Bytes of kept conversations, by tier",
           MetricType::kGauge,
           {{{{"tier", "memory"}}, number(stats.memory_bytes.bytes())},
            {{{"tier", "disk"}}, number(stats.disk_bytes.bytes())}}},
          {"switchyard_conversations",
           "Kept conversations, by tier; one may be in both",
           MetricType::kGauge,
           {{{{"tier", "memory"}}, number(stats.in_memory)}, {{{"tier", "disk"}}, number(stats.on_disk)}}},
          {"switchyard_conversations_total",
           "Conversations by what became of them: saved by an engine, restored into one, dropped for want of "
           "room, unreadable",
           MetricType::kCounter,
           {{{{"event", "saved"}}, number(stats.saved)},
            {{{"event", "restored"}}, number(stats.restored)},
            {{{"event", "dropped"}}, number(stats.dropped)},
            {{{"event", "unreadable"}}, number(stats.unreadable)}}}};
}

std::vector<MetricFamily> memory_families(const HostMemory& memory, const models::Limits& limits,
                                          ByteSize reserved) {
  const auto bytes = [](ByteSize size) { return static_cast<double>(size.bytes()); };
  return {{"switchyard_host_memory_bytes",
           "Memory of the machine, or of the cgroup whose limit is closest; available includes page cache",
           MetricType::kGauge,
           {{{{"kind", "total"}}, bytes(memory.total)}, {{{"kind", "available"}}, bytes(memory.available)}}},
          {"switchyard_budget_bytes",
           "Bytes that all models together may take on the host",
           MetricType::kGauge,
           {{{}, bytes(limits.memory_budget)}}},
          {"switchyard_reserved_bytes",
           "Bytes that models have reserved of it",
           MetricType::kGauge,
           {{{}, bytes(reserved)}}}};
}

std::vector<MetricFamily> alert_families(const alerts::Report& report) {
  MetricFamily state{
      "switchyard_alert_state",
      "0 where an alert is inactive, 1 pending, 2 firing; with a model where the rule is per model",
      MetricType::kGauge,
      {}};
  MetricFamily value{"switchyard_alert_value",
                     "What alerts compare with their threshold: seconds, a ratio or a count",
                     MetricType::kGauge,
                     {}};
  std::map<telemetry::Labels, double> states;
  for (const alerts::RuleInfo& info : alerts::rule_table()) states[alert_labels(info.rule, {})] = 0;
  for (const alerts::Notice& notice : report.alerts) {
    if (notice.alert.phase == alerts::Phase::kResolved) continue;
    states[alert_labels(notice.alert.rule, notice.alert.model)] =
        notice.alert.phase == alerts::Phase::kFiring ? 2 : 1;
  }
  for (const auto& [at, number] : states) state.points.push_back({at, number});
  for (const alerts::Reading& reading : report.readings)
    value.points.push_back({alert_labels(reading.rule, reading.model), reading.value});
  std::vector<MetricFamily> families{std::move(state), std::move(value)};
  if (!report.delivery) return families;
  const auto number = [](std::uint64_t count) { return static_cast<double>(count); };
  families.push_back({"switchyard_webhook_notifications_total",
                      "Notifications of alerts, by what became of them",
                      MetricType::kCounter,
                      {{{{"result", "sent"}}, number(report.delivery->sent)},
                       {{{"result", "failed"}}, number(report.delivery->failed)},
                       {{{"result", "dropped"}}, number(report.delivery->dropped)}}});
  return families;
}

std::vector<MetricFamily> shadow_families(const std::vector<traffic::ShadowStatus>& shadows) {
  MetricFamily requests{"switchyard_shadow_requests_total",
                        "Requests that a shadow has chosen, by what became of their copies",
                        MetricType::kCounter,
                        {}};
  MetricFamily exact{"switchyard_shadow_exact_total",
                     "Copies whose reply was the user's to the letter",
                     MetricType::kCounter,
                     {}};
  MetricFamily similarity{"switchyard_shadow_similarity",
                          "Mean cosine of the embeddings of both replies",
                          MetricType::kGauge,
                          {}};
  for (const traffic::ShadowStatus& shadow : shadows) {
    const auto count = [&](const char* result, std::uint64_t value) {
      requests.points.push_back({{{"alias", shadow.alias}, {"result", result}}, static_cast<double>(value)});
    };
    count("compared", shadow.figures.compared);
    count("failed", traffic::total(shadow.figures.failed));
    count("dropped", traffic::total(shadow.figures.dropped));
    exact.points.push_back({{{"alias", shadow.alias}}, static_cast<double>(shadow.figures.exact)});
    if (const auto mean = shadow.figures.similarity.value())
      similarity.points.push_back({{{"alias", shadow.alias}}, *mean});
  }
  return {std::move(requests), std::move(exact), std::move(similarity)};
}

std::vector<MetricFamily> experiment_families(const experiments::Losses& losses) {
  const auto number = [](std::int64_t count) { return static_cast<double>(count); };
  return {{"switchyard_experiment_observations_total",
           "Observations and feedback for experiments, by what became of them",
           MetricType::kCounter,
           {{{{"result", "written"}}, number(losses.written)},
            {{{"result", "dropped"}}, number(losses.dropped)},
            {{{"result", "lost"}}, number(losses.lost)},
            {{{"result", "refused"}}, number(losses.refused)}}},
          {"switchyard_experiment_observations_queued",
           "Observations and feedback that wait to be written",
           MetricType::kGauge,
           {{{}, number(losses.queued)}}}};
}

}  // namespace switchyard::http
