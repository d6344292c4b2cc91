#include "telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <utility>

namespace switchyard::telemetry {

struct Metrics::Registry {
  prometheus::Registry families;
};

Metrics::Metrics() : registry_(std::make_unique<Registry>()) {}
Metrics::~Metrics() = default;

void Metrics::count(const std::string& name, const std::string& help, const Labels& labels, double by) {
  prometheus::BuildCounter().Name(name).Help(help).Register(registry_->families).Add(labels).Increment(by);
}

void Metrics::observe(const std::string& name, const std::string& help, const Labels& labels, double value,
                      const std::vector<double>& bounds) {
  prometheus::BuildHistogram()
      .Name(name)
      .Help(help)
      .Register(registry_->families)
      .Add(labels, bounds)
      .Observe(value);
}

std::string Metrics::text(const std::vector<MetricFamily>& now) const {
  auto families = registry_->families.Collect();
  for (const auto& family : now) {
    const bool counts = family.type == MetricType::kCounter;
    prometheus::MetricFamily out;
    out.name = family.name;
    out.help = family.help;
    out.type = counts ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
    for (const auto& point : family.points) {
      prometheus::ClientMetric metric;
      for (const auto& [name, value] : point.labels) metric.label.push_back({name, value});
      (counts ? metric.counter.value : metric.gauge.value) = point.value;
      out.metric.push_back(std::move(metric));
    }
    families.push_back(std::move(out));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace switchyard::telemetry
