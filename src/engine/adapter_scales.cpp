#include "engine/adapter_scales.h"

#include <utility>

#include "engine/forwarding_engine.h"
#include "telemetry/log.h"

namespace switchyard::engine {
namespace {

constexpr const char* kPath = "/lora-adapters";

std::string prefix_of(const std::string& model, const std::string& version) {
  return model + '@' + version + '\n';
}

/// Empty where it has no adapters. Other adapters begin as they are configured.
std::string key_of(const ModelSpec& spec) {
  std::string adapters;
  for (const char* name : {"lora", "lora-scaled"}) {
    if (const auto files = spec.args.find(name); files != spec.args.end())
      adapters += name + ('=' + files->second) + '\n';
  }
  return adapters.empty() ? adapters : prefix_of(spec.model, spec.version) + adapters;
}

class NotingEngine final : public ForwardingEngine {
 public:
  NotingEngine(std::unique_ptr<Engine> inner, AdapterScales& scales, std::string key)
      : ForwardingEngine(std::move(inner)), scales_(scales), key_(std::move(key)) {}

  [[nodiscard]] std::unique_ptr<Reply> handle(Request request) override {
    if (request.method != "POST" || request.path != kPath) return inner().handle(std::move(request));
    std::string body = request.body;
    auto reply = inner().handle(std::move(request));
    if (reply->status() == 200) scales_.note(key_, std::move(body));
    return reply;
  }

 private:
  AdapterScales& scales_;
  const std::string key_;
};

}  // namespace

std::unique_ptr<Engine> AdapterScales::keep(std::unique_ptr<Engine> engine, const ModelSpec& spec) {
  std::string key = key_of(spec);
  if (key.empty()) return engine;
  std::string body;
  {
    const MutexLock lock(mutex_);
    if (const auto set = bodies_.find(key); set != bodies_.end()) body = set->second;
  }
  if (!body.empty()) {
    const auto reply = engine->handle(
        {.method = "POST", .path = kPath, .params = {}, .query_string = "", .headers = {}, .body = body});
    if (reply->status() != 200) {
      telemetry::log_warning(spec.model, "its adapters are as configured, not as they were set: {}",
                             reply->take_body());
    }
  }
  return std::make_unique<NotingEngine>(std::move(engine), *this, std::move(key));
}

void AdapterScales::forget(const std::string& model, const std::string& version) {
  const std::string prefix = prefix_of(model, version);
  const MutexLock lock(mutex_);
  std::erase_if(bodies_, [&](const auto& entry) { return entry.first.starts_with(prefix); });
}

void AdapterScales::note(const std::string& key, std::string body) {
  const MutexLock lock(mutex_);
  bodies_[key] = std::move(body);
}

}  // namespace switchyard::engine
