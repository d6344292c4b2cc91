#include "http/metrics_api.h"

#include <iterator>
#include <utility>

#include "base/host_memory.h"
#include "http/metric_families.h"

namespace switchyard::http {
namespace {

const std::vector<double> kLoadBounds{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120};
const std::vector<double> kWaitBounds{0.0001, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

const std::vector<double> kFirstTokenBounds{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30};

}  // namespace

MetricsApi::MetricsApi(Services& services, OpenAiApi& openai, gateway::Sampler& sampler,
                       telemetry::Metrics& metrics)
    : services_(services),
      openai_(openai),
      sampler_(sampler),
      metrics_(metrics),
      subscription_(services.events.subscribe([this](const auto& event) { on_event(event); })) {
  // There from the beginning: a counter that appears with its first count shows no increase.
  for (const char* result : {"ok", "failed"}) count_switch(result, 0);
  services.monitor.observe_probes([this, gate = services.gate](const auto& version, Duration latency) {
    gate->pass([&] {
      metrics_.observe("switchyard_probe_seconds", "Time until a probe was answered",
                       {{"model", version.model}}, seconds(latency), kWaitBounds);
    });
  });
}

void MetricsApi::add_routes(Router& router) {
  const auto answer = [this](RouteCall call) {
    if (services_.options.single_model || !call.request().param("model").empty()) {
      return openai_.look(std::move(call));
    }
    Response reply;
    reply.content_type = "text/plain; version=0.0.4";
    reply.body = text();
    call.exchange->respond(std::move(reply));
  };
  router.add("GET", "/metrics", answer, Access::kRead, WhenCrowded::kAnswers);
}

std::string MetricsApi::text() const {
  auto totals = sampler_.totals();
  for (const auto& [model, waiting] : services_.gateway.waiting_for_slots())
    totals[model].counted.requests_deferred += waiting;
  auto families = engine_families(totals);
  const auto add = [&](std::vector<telemetry::MetricFamily> more) {
    families.insert(families.end(), std::make_move_iterator(more.begin()),
                    std::make_move_iterator(more.end()));
  };
  add(model_families(services_.manager.list(), services_.manager.counters()));
  add(health_families(services_.manager.list(), services_.monitor.list()));
  add(memory_families(host_memory(), services_.manager.limits(), services_.manager.reserved()));
  if (services_.options.conversations) add(conversation_families(services_.options.conversations()));
  add(experiment_families(services_.experiments.losses()));
  add(shadow_families(services_.shadows.list()));
  if (services_.options.alerts) add(alert_families(services_.options.alerts()));
  families.push_back(
      {"switchyard_build_info",
       "1, with the versions as labels",
       telemetry::MetricType::kGauge,
       {{{{"version", services_.options.version}, {"llama_cpp", services_.options.build_info}}, 1}}});
  return metrics_.text(families);
}

void MetricsApi::count_request(const gateway::RequestRecord& record) {
  metrics_.count("switchyard_requests_total", "Requests that asked for a model, by the status of their reply",
                 {{"model", record.version.model}, {"status", std::to_string(record.status)}});
  if (record.version.model.empty()) return;
  const telemetry::Labels labels = {{"model", record.version.model}};
  metrics_.count("switchyard_request_errors_total",
                 "Requests that failed by the server's fault: a status of 500 or more, or a stream cut short",
                 labels, gateway::failed_by_server(record) ? 1 : 0);
  metrics_.observe("switchyard_queue_wait_seconds", "Time from a request's arrival until it had its engine",
                   labels, seconds(record.queued), kWaitBounds);
  if (const auto waited = gateway::first_token(record)) {
    metrics_.observe("switchyard_time_to_first_token_seconds",
                     "Time from the engine to the first token of streamed replies", labels, seconds(*waited),
                     kFirstTokenBounds);
  }
}

void MetricsApi::count_switch(const std::string& result, double by) {
  metrics_.count("switchyard_switches_total", "Names moved to another version, by how it ended",
                 {{"result", result}}, by);
}

void MetricsApi::on_event(const telemetry::Event& event) {
  if (event.type == "alias") return count_switch(event.text.at("result"), 1);
  const auto took = event.numbers.find("load_ms");
  const auto from = event.text.find("origin");
  if (event.type != "state" || took == event.numbers.end() || from == event.text.end()) return;
  metrics_.observe("switchyard_load_seconds", "Time from the beginning of a load until the version was hot",
                   {{"model", event.model}, {"from", from->second}}, took->second / 1000, kLoadBounds);
}

}  // namespace switchyard::http
