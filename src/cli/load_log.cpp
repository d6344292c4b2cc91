#include "cli/load_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace switchyard::cli {
namespace {

constexpr Duration kTellEvery = std::chrono::seconds(2);

std::string text_of(const telemetry::Event& event, const char* key) {
  const auto found = event.text.find(key);
  return found == event.text.end() ? std::string() : found->second;
}

double number_of(const telemetry::Event& event, const char* key) {
  const auto found = event.numbers.find(key);
  return found == event.numbers.end() ? 0 : found->second;
}

/// "context 8192 of 8192 tokens, 12 of 30 layers on the GPU"
std::string size_of(const telemetry::Event& event) {
  std::string size = fmt::format("context of {:.0f} of {:.0f} tokens{}", number_of(event, "n_ctx"),
                                 number_of(event, "n_ctx_train"), text_of(event, "n_ctx_chosen_by"));
  const double all = number_of(event, "n_layers");
  // llama.cpp counts the output as one more, and people ask for 99.
  const std::string layers = text_of(event, "n_gpu_layers");
  const double on_gpu = layers == "all" ? all : std::min<double>(std::atoi(layers.c_str()), all);
  if (on_gpu > 0) size += fmt::format(", {:.0f} of {:.0f} layers on the GPU", on_gpu, all);
  return size;
}

}  // namespace

LoadLog::LoadLog(telemetry::EventBus& events, Line line, const Clock& clock)
    : line_(std::move(line)), clock_(clock) {
  subscription_ = events.subscribe([this](const telemetry::Event& event) { on_event(event); });
}

void LoadLog::on_event(const telemetry::Event& event) {
  const std::string name = event.model + '@' + event.version;
  std::string line;
  if (event.type == "load_progress") {
    const MutexLock lock(mutex_);
    const auto told = told_.find(name);
    if (told == told_.end() || clock_.now() - told->second < kTellEvery) return;
    told->second = clock_.now();
    line = fmt::format("{} is loading: {:.0f} % of {}", name, 100 * number_of(event, "progress"),
                       text_of(event, "stage"));
  } else if (event.type == "state" && text_of(event, "to") == "loading") {
    const MutexLock lock(mutex_);
    told_[name] = clock_.now();
    line = fmt::format("{} is loading ({})", name, text_of(event, "cause"));
  } else if (event.type == "state" && text_of(event, "to") != "warming") {
    const MutexLock lock(mutex_);
    told_.erase(name);
    if (text_of(event, "origin") == "cold") line = fmt::format("{} has a {}", name, size_of(event));
  }
  if (!line.empty()) line_(line);
}

}  // namespace switchyard::cli
