#include "engine/local_engines.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sstream>
#include <utility>

#include "build-info.h"
#include "common.h"
#include "engine/forwarding_engine.h"
#include "engine/params.h"
#include "engine/weights_store.h"

namespace switchyard::engine {
namespace {

/// An engine whose end takes its turn among those that share its weights.
class SerialisedEngine final : public ForwardingEngine {
 public:
  SerialisedEngine(std::unique_ptr<Engine> inner, std::shared_ptr<Mutex> turn)
      : ForwardingEngine(std::move(inner)), turn_(std::move(turn)) {}
  ~SerialisedEngine() override {
    const MutexLock lock(*turn_);
    end_inner();
  }
  SerialisedEngine(const SerialisedEngine&) = delete;
  SerialisedEngine& operator=(const SerialisedEngine&) = delete;

 private:
  const std::shared_ptr<Mutex> turn_;
};

std::string join(const ArgMap& args) {
  std::string text;
  for (const auto& [name, value] : args) text += fmt::format("{}={};", name, value);
  return text;
}

ContextProbes probes_from(const std::string& text) {
  std::istringstream words(text);
  ContextProbes probes;
  for (int probe = 0; words >> probe;) probes.push_back(probe);
  return probes;
}

}  // namespace

Result<std::unique_ptr<Engine>> LocalEngines::load(const ModelSpec& spec, const Inspection& inspection,
                                                   std::unique_ptr<SlotStateKeeper> keeper,
                                                   const std::function<void(const LoadProgress&)>& progress,
                                                   InProcessEngine::OnFailed on_failed,
                                                   const std::stop_token& stop) {
  ModelSpec resolved = spec;
  resolved.args = inspection.resolved_args;
  auto params = make_params(resolved);
  if (!params) return std::unexpected(params.error());
  const std::string key = inspection.weights_key + join(resolved.args);
  const auto turn = this->turn(inspection.weights_key);
  const MutexLock lock(*turn);
  InProcessEngine::Experience experience = known(key);
  if (!weights_are_held(inspection.weights_key)) {
    experience.host_buffers = inspection.need.host_buffers;
    experience.proven = false;  // that counts for a return from parked, where the weights have been in memory
  }
  if (experience.probes.empty()) experience.probes = inspection.context_probes;
  const std::string learnt_key = fmt::format("context|{}|{}", llama_build_info(), key);
  if (experience.probes.empty() && learnt_ != nullptr)
    experience.probes = probes_from(learnt_->get(learnt_key).value_or(""));
  const bool learns = experience.probes.empty() && learnt_ != nullptr;
  experience.weights_key = inspection.weights_key;
  auto engine = InProcessEngine::load(std::move(*params), spec.model + "@" + spec.version, experience,
                                      std::move(keeper), progress, std::move(on_failed), stop);
  if (!engine) return std::unexpected(engine.error());
  experience.host_buffers.clear();
  if (learns && !experience.probes.empty())
    learnt_->put(learnt_key, fmt::format("{}", fmt::join(experience.probes, " ")));
  remember(key, std::move(experience));
  return std::make_unique<SerialisedEngine>(std::move(*engine), turn);
}

std::shared_ptr<Mutex> LocalEngines::turn(const std::string& weights_key) {
  const MutexLock lock(mutex_);
  auto& weak = turns_[weights_key];
  auto mutex = weak.lock();
  if (mutex == nullptr) weak = mutex = std::make_shared<Mutex>();
  return mutex;
}

InProcessEngine::Experience LocalEngines::known(const std::string& key) {
  const MutexLock lock(mutex_);
  return experience_[key];
}

void LocalEngines::remember(const std::string& key, InProcessEngine::Experience experience) {
  const MutexLock lock(mutex_);
  experience_[key] = std::move(experience);
}

}  // namespace switchyard::engine
