#include "alerts/observations.h"

#include <algorithm>
#include <string_view>

namespace switchyard::alerts {
namespace {

std::string_view text_of(const telemetry::Event& event, const char* key) {
  const auto found = event.text.find(key);
  return found == event.text.end() ? std::string_view() : std::string_view(found->second);
}

double value_of(Rule rule, std::vector<double> samples) {
  switch (rule) {
    case Rule::kModelLoadTime: return *std::ranges::max_element(samples);
    case Rule::kInferenceLatency:
    case Rule::kQueueWait: return quantile(std::move(samples), 0.95);
    case Rule::kEngineRestarts: return static_cast<double>(samples.size());
    case Rule::kMemory:
    case Rule::kSwitchSuccess:
    case Rule::kErrorRate:
    case Rule::kMemoryBudget: return mean(samples);
  }
  return 0;
}

}  // namespace

void Observations::add(Rule rule, const std::string& model, double value) {
  windows_[{rule, model}].add(clock_.now(), value);
}

void Observations::request(const RequestSample& sample) {
  const MutexLock lock(mutex_);
  add(Rule::kQueueWait, sample.model, seconds(sample.queued));
  add(Rule::kErrorRate, sample.model, sample.failed ? 1 : 0);
  if (sample.first_token) add(Rule::kInferenceLatency, sample.model, seconds(*sample.first_token));
}

void Observations::gauges(const Gauges& gauges) {
  const MutexLock lock(mutex_);
  if (gauges.memory_used) add(Rule::kMemory, {}, *gauges.memory_used);
  if (gauges.budget_reserved) add(Rule::kMemoryBudget, {}, *gauges.budget_reserved);
}

void Observations::event(const telemetry::Event& event) {
  const MutexLock lock(mutex_);
  if (event.type == "state") {
    see_state(event);
  } else if (event.type == "alias") {
    // One that somebody called off, or overtook with another, is no failure.
    const std::string_view result = text_of(event, "result");
    if (result == "ok" || result == "failed") add(Rule::kSwitchSuccess, {}, result == "ok" ? 1 : 0);
  }
}

void Observations::see_state(const telemetry::Event& event) {
  const std::string_view to = text_of(event, "to");
  const std::string version = event.model + "@" + event.version;
  if (to == "loading") {
    loads_[version] = {event.model, clock_.now()};
  } else if (to != "warming") {
    loads_.erase(version);
  }
  // An engine that broke while it answered, and the next one of its version.
  const std::string_view from = text_of(event, "from");
  if (to == "failed" && text_of(event, "cause") == "broken" && (from == "hot" || from == "draining")) {
    broken_.insert(version);
  } else if (to == "hot" && from == "warming") {
    if (broken_.erase(version) > 0) add(Rule::kEngineRestarts, event.model, 1);
  } else if (to == "cold" || to == "parked") {
    broken_.erase(version);
  }
  const auto took = event.numbers.find("load_ms");
  if (took != event.numbers.end()) add(Rule::kModelLoadTime, event.model, took->second / 1000);
}

std::vector<Reading> Observations::readings(const Rules& rules) {
  const MutexLock lock(mutex_);
  const TimePoint now = clock_.now();
  // A load that never ends is the worst of all.
  std::map<std::string, double> running;
  for (const auto& [version, load] : loads_) {
    double& longest = running[load.model];
    longest = std::max(longest, seconds(now - load.began));
  }
  std::vector<Reading> readings;
  for (auto& [key, window] : windows_) {
    const auto& [rule, model] = key;
    const RuleSettings& settings = settings_of(rules, rule);
    window.forget(now - settings.window);
    std::vector<double> samples = window.since(now - settings.window);
    if (rule == Rule::kModelLoadTime && running.contains(model)) {
      samples.push_back(running.at(model));
      running.erase(model);
    }
    if (settings.off || samples.empty() || samples.size() < info_of(rule).least_samples) continue;
    readings.push_back({rule, model, value_of(rule, std::move(samples))});
  }
  std::erase_if(windows_, [](const auto& entry) { return entry.second.empty(); });
  if (settings_of(rules, Rule::kModelLoadTime).off) return readings;
  for (const auto& [model, longest] : running) readings.push_back({Rule::kModelLoadTime, model, longest});
  return readings;
}

}  // namespace switchyard::alerts
