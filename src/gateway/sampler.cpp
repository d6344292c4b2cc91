#include "gateway/sampler.h"

#include <algorithm>
#include <chrono>

#include "engine/api/sample_sum.h"

namespace switchyard::gateway {
namespace {

using engine::EngineSample;

constexpr std::chrono::milliseconds kPatienceAtRelease{10};
constexpr std::chrono::milliseconds kPatience{250};

/// Counters of one engine only grow: of two readings that were stored in the wrong order the larger
/// values are the later ones.
EngineSample later(const EngineSample& kept, EngineSample now) {
  now.prompt_tokens = std::max(kept.prompt_tokens, now.prompt_tokens);
  now.prompt_seconds = std::max(kept.prompt_seconds, now.prompt_seconds);
  now.predicted_tokens = std::max(kept.predicted_tokens, now.predicted_tokens);
  now.predicted_seconds = std::max(kept.predicted_seconds, now.predicted_seconds);
  now.decode_calls = std::max(kept.decode_calls, now.decode_calls);
  now.busy_slot_sum = std::max(kept.busy_slot_sum, now.busy_slot_sum);
  now.max_tokens = std::max(kept.max_tokens, now.max_tokens);
  return now;
}

double rate(std::uint64_t tokens, std::uint64_t tokens_before, double seconds, double seconds_before) {
  return seconds > seconds_before ? static_cast<double>(tokens - tokens_before) / (seconds - seconds_before)
                                  : 0;
}

}  // namespace

Sampler::Sampler(models::Manager& manager, telemetry::EventBus& events)
    : manager_(manager), subscription_(events.subscribe([this](const auto& event) { on_event(event); })) {}

void Sampler::read(const models::VersionRef& version, engine::Engine& engine) {
  store(version, engine.sample(kPatienceAtRelease));
}

void Sampler::read_all(const std::vector<models::VersionRef>& versions) {
  for (const auto& version : versions) {
    const auto lease =
        manager_.acquire_blocking(version, {.make_hot = models::MakeHot::kNothing, .timeout = kPatience});
    if (lease) store(version, lease->engine().sample(kPatience));
  }
  const MutexLock lock(mutex_);
  for (auto& [version, entry] : entries_) {
    const EngineSample now = sum(entry.before, entry.current);
    const EngineSample& then = entry.window_start;
    entry.prompt_rate = rate(now.prompt_tokens, then.prompt_tokens, now.prompt_seconds, then.prompt_seconds);
    entry.predicted_rate =
        rate(now.predicted_tokens, then.predicted_tokens, now.predicted_seconds, then.predicted_seconds);
    entry.window_start = now;
  }
}

void Sampler::store(const models::VersionRef& version, const EngineSample& sample) {
  const MutexLock lock(mutex_);
  Entry& entry = entries_[version];
  entry.current = later(entry.current, sample);
}

void Sampler::on_event(const telemetry::Event& event) {
  if (event.type != "state") return;
  const auto to = event.text.find("to");
  if (to == event.text.end() || to->second != models::to_string(models::State::kLoading)) return;
  // A new engine begins at zero.
  const MutexLock lock(mutex_);
  const auto found = entries_.find({event.model, event.version});
  if (found == entries_.end()) return;
  found->second.current.requests_processing = found->second.current.requests_deferred = 0;
  found->second.before = sum(found->second.before, found->second.current);
  found->second.current = {};
}

std::map<std::string, Sampler::Totals> Sampler::totals() const {
  std::map<std::string, Totals> totals;
  const MutexLock lock(mutex_);
  for (const auto& [version, entry] : entries_) {
    Totals& model = totals[version.model];
    model.counted = sum(model.counted, sum(entry.before, entry.current));
    model.prompt_tokens_per_second += entry.prompt_rate;
    model.predicted_tokens_per_second += entry.predicted_rate;
  }
  return totals;
}

}  // namespace switchyard::gateway
