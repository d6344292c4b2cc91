#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "base/mutex.h"
#include "build-info.h"
#include "common.h"
#include "engine/bridge.h"
#include "engine/conversation_store.h"
#include "engine/engine_reply.h"
#include "engine/file_mapping.h"
#include "engine/in_process.h"
#include "engine/in_process_engine.h"
#include "engine/inspector.h"
#include "engine/low_priority.h"
#include "engine/params.h"
#include "engine/state_shape.h"
#include "engine/thread_budget.h"
#include "engine/weights_store.h"
#include "server-stream.h"

namespace switchyard::engine {
namespace {

/// Serialises what llama.cpp does not lock on weights that several engines share: LoRA adapters
/// live in an unlocked set of the llama_model, so loads and frees of one weights_key take turns.
class KeyedMutexes {
 public:
  std::shared_ptr<Mutex> get(const std::string& key) {
    const MutexLock lock(mutex_);
    auto& weak = mutexes_[key];
    auto mutex = weak.lock();
    if (mutex == nullptr) weak = mutex = std::make_shared<Mutex>();
    return mutex;
  }

 private:
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<Mutex>> mutexes_ GUARDED_BY(mutex_);
};

std::string version_name(const std::string& model, const std::string& version) {
  return model + "@" + version;
}

/// Null when nothing is to be kept.
std::unique_ptr<ConversationStore> make_store(const ConversationOptions& options) {
  const bool disk = options.disk > ByteSize(0) && !options.folder.empty();
  if (options.memory == ByteSize(0) && !disk) return nullptr;
  return std::make_unique<ConversationStore>(
      ConversationStore::Options{.memory = options.memory, .disk = options.disk, .folder = options.folder});
}

/// An engine whose end takes its turn among those that share its weights.
class SerialisedEngine final : public Engine {
 public:
  SerialisedEngine(std::unique_ptr<Engine> inner, std::shared_ptr<Mutex> turn)
      : turn_(std::move(turn)), inner_(std::move(inner)) {}
  ~SerialisedEngine() override {
    const MutexLock lock(*turn_);
    inner_.reset();
  }
  SerialisedEngine(const SerialisedEngine&) = delete;
  SerialisedEngine& operator=(const SerialisedEngine&) = delete;

  [[nodiscard]] std::unique_ptr<Reply> handle(Request request) override {
    return inner_->handle(std::move(request));
  }
  [[nodiscard]] EngineSample sample(std::chrono::milliseconds patience) override {
    return inner_->sample(patience);
  }
  [[nodiscard]] std::string info_json() const override { return inner_->info_json(); }
  [[nodiscard]] std::string props_json() override { return inner_->props_json(); }
  [[nodiscard]] std::shared_ptr<Weights> weights() override { return inner_->weights(); }

 private:
  const std::shared_ptr<Mutex> turn_;
  std::unique_ptr<Engine> inner_;
};

class InProcessLoader final : public EngineLoader {
 public:
  explicit InProcessLoader(const LoaderOptions& options)
      : inspector_(options.helper_path.empty() ? std::filesystem::read_symlink("/proc/self/exe").string()
                                               : options.helper_path,
                   options.cache_path, options.default_prompt_cache),
        conversations_(make_store(options.conversations)) {
    start_process_bridge();
    set_thread_budget(options.threads);
  }
  ~InProcessLoader() override { stop_process_bridge(); }
  InProcessLoader(const InProcessLoader&) = delete;
  InProcessLoader& operator=(const InProcessLoader&) = delete;

  [[nodiscard]] Result<Inspection> inspect(const ModelSpec& spec, const InspectOptions& options,
                                           std::stop_token stop) override {
    return inspector_.inspect(spec, options, stop);
  }

  [[nodiscard]] Result<std::unique_ptr<Engine>> load(const ModelSpec& spec, const Inspection& inspection,
                                                     const std::function<void(const LoadProgress&)>& progress,
                                                     std::stop_token stop) override {
    ModelSpec resolved = spec;
    resolved.args = inspection.resolved_args;
    auto params = make_params(resolved);
    if (!params) return std::unexpected(params.error());
    const std::string key = inspection.weights_key + join(resolved.args);
    const auto turn = turns_.get(inspection.weights_key);
    const MutexLock lock(*turn);
    // Experience counts for a return from parked, where the weights have been in memory all along.
    InProcessEngine::Experience experience;
    if (weights_are_held(inspection.weights_key)) {
      experience = known(key);
    } else {
      experience.host_buffers = inspection.need.host_buffers;
    }
    if (experience.probes.empty()) experience.probes = inspection.context_probes;
    experience.weights_key = inspection.weights_key;
    if (experience.proven) (*params)->warmup = false;
    const std::string name = version_name(spec.model, spec.version);
    auto engine = InProcessEngine::load(
        std::move(*params), name, experience,
        conversations_ == nullptr ? nullptr : conversations_->open(name, state_shape(inspection)), progress,
        stop);
    if (!engine) return std::unexpected(engine.error());
    experience.host_buffers.clear();
    remember(key, std::move(experience));
    return std::make_unique<SerialisedEngine>(std::move(*engine), turn);
  }

  void prefetch(const ModelSpec& spec, std::stop_token stop) override {
    const LowPriorityScope low;
    if (const auto file = spec.args.find("model"); file != spec.args.end()) {
      for (const std::string& path : split_files(file->second)) read_ahead(path, stop);
    }
  }

  void forget(const std::string& model, const std::string& version) override {
    if (conversations_ != nullptr) conversations_->forget(version_name(model, version));
  }
  void forget_all_but(const std::map<std::string, std::vector<std::string>>& versions) override {
    if (conversations_ == nullptr) return;
    std::set<std::string> names;
    for (const auto& [model, of_model] : versions) {
      for (const std::string& version : of_model) names.insert(version_name(model, version));
    }
    conversations_->forget_all_but(names);
  }
  [[nodiscard]] ConversationStats conversations() const override {
    return conversations_ == nullptr ? ConversationStats{} : conversations_->stats();
  }

 private:
  static std::string join(const ArgMap& args) {
    std::string text;
    for (const auto& [name, value] : args) text += fmt::format("{}={};", name, value);
    return text;
  }
  [[nodiscard]] InProcessEngine::Experience known(const std::string& key) {
    const MutexLock lock(mutex_);
    return experience_[key];
  }
  void remember(const std::string& key, InProcessEngine::Experience experience) {
    const MutexLock lock(mutex_);
    experience_[key] = std::move(experience);
  }

  Inspector inspector_;
  const std::unique_ptr<ConversationStore> conversations_;
  KeyedMutexes turns_;
  Mutex mutex_;
  std::map<std::string, InProcessEngine::Experience> experience_ GUARDED_BY(mutex_);
};

class StreamRoutes final : public ProcessRoutes {
 public:
  [[nodiscard]] std::unique_ptr<Reply> handle(Request request) override {
    const std::string route = request.method + ' ' + request.path;
    if (route == "GET /v1/stream") return call_handler(get_, std::move(request), tag_);
    if (route == "DELETE /v1/stream") return call_handler(delete_, std::move(request), tag_);
    if (route == "POST /v1/streams/lookup") return call_handler(lookup_, std::move(request), tag_);
    return not_found_reply();
  }

 private:
  const std::string tag_ = "streams";
  const server_http_context::handler_t get_ = server_stream_make_get_handler();
  const server_http_context::handler_t delete_ = server_stream_make_delete_handler();
  const server_http_context::handler_t lookup_ = server_stream_make_lookup_handler();
};

}  // namespace

std::unique_ptr<EngineLoader> make_in_process_loader(const LoaderOptions& options) {
  return std::make_unique<InProcessLoader>(options);
}

std::unique_ptr<ProcessRoutes> make_process_routes() { return std::make_unique<StreamRoutes>(); }

std::string llama_build_info() { return ::llama_build_info(); }

std::vector<Device> list_devices() {
  start_process_bridge();
  std::vector<Device> devices;
  for (std::size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_t dev = ggml_backend_dev_get(i);
    std::size_t free = 0;
    std::size_t total = 0;
    ggml_backend_dev_memory(dev, &free, &total);
    devices.push_back({.name = ggml_backend_dev_name(dev),
                       .description = ggml_backend_dev_description(dev),
                       .total = ByteSize(total),
                       .free = ByteSize(free)});
  }
  return devices;
}

}  // namespace switchyard::engine
