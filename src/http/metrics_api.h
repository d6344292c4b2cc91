#pragma once

#include <string>

#include "gateway/sampler.h"
#include "http/openai.h"
#include "http/router.h"
#include "http/services.h"
#include "telemetry/metrics.h"

namespace switchyard::http {

/// GET /metrics: the fleet from samples that are kept, never waiting for an engine; with ?model= or
/// --model llama-server's own text from that engine. Any thread.
class MetricsApi {
 public:
  MetricsApi(Services& services, OpenAiApi& openai, gateway::Sampler& sampler, telemetry::Metrics& metrics);
  void add_routes(Router& router);

  void count_request(const gateway::RequestRecord& record);

 private:
  [[nodiscard]] std::string text() const;
  void count_switch(const std::string& result, double by);
  void on_event(const telemetry::Event& event);

  Services& services_;
  OpenAiApi& openai_;
  gateway::Sampler& sampler_;
  telemetry::Metrics& metrics_;
  telemetry::EventBus::Subscription subscription_;  // last: ends before what it uses
};

}  // namespace switchyard::http
