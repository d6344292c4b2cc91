#include "http/metrics_api.h"

#include <iterator>
#include <utility>

#include "http/metric_families.h"

namespace switchyard::http {
namespace {

const std::vector<double> kLoadBounds{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120};
const std::vector<double> kWaitBounds{0.0001, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

double seconds(auto duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

MetricsApi::MetricsApi(Services& services, OpenAiApi& openai, gateway::Sampler& sampler,
                       telemetry::Metrics& metrics)
    : services_(services),
      openai_(openai),
      sampler_(sampler),
      metrics_(metrics),
      subscription_(services.events.subscribe([this](const auto& event) { on_event(event); })) {}

void MetricsApi::add_routes(Router& router) {
  router.add("GET", "/metrics", [this](RouteCall call) {
    if (services_.options.single_model || !call.request().param("model").empty()) {
      return openai_.look(std::move(call));
    }
    Response reply;
    reply.content_type = "text/plain; version=0.0.4";
    reply.body = text();
    call.exchange->respond(std::move(reply));
  });
}

std::string MetricsApi::text() const {
  auto families = engine_families(sampler_.totals());
  auto models = model_families(services_.manager.list(), services_.manager.counters());
  families.insert(families.end(), std::make_move_iterator(models.begin()),
                  std::make_move_iterator(models.end()));
  if (services_.options.conversations) {
    auto kept = conversation_families(services_.options.conversations());
    families.insert(families.end(), std::make_move_iterator(kept.begin()),
                    std::make_move_iterator(kept.end()));
  }
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
  metrics_.observe("switchyard_queue_wait_seconds", "Time from a request's arrival until it had its engine",
                   {}, seconds(record.queued), kWaitBounds);
}

void MetricsApi::on_event(const telemetry::Event& event) {
  if (event.type == "alias") {
    metrics_.count("switchyard_switches_total", "Names moved to another version, by how it ended",
                   {{"result", event.text.at("result")}});
    return;
  }
  const auto took = event.numbers.find("load_ms");
  const auto from = event.text.find("origin");
  if (event.type != "state" || took == event.numbers.end() || from == event.text.end()) return;
  metrics_.observe("switchyard_load_seconds", "Time from the beginning of a load until the version was hot",
                   {{"model", event.model}, {"from", from->second}}, took->second / 1000, kLoadBounds);
}

}  // namespace switchyard::http
