#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "build-info.h"
#include "common.h"
#include "engine/adapter_scales.h"
#include "engine/bridge.h"
#include "engine/child_sandbox.h"
#include "engine/conversation_store.h"
#include "engine/file_mapping.h"
#include "engine/in_process.h"
#include "engine/inspector.h"
#include "engine/isolated.h"
#include "engine/local_engines.h"
#include "engine/low_priority.h"
#include "engine/state_shape.h"
#include "engine/stream_routes.h"
#include "engine/thread_budget.h"
#include "engine/weights_store.h"
#include "engine/worker/process.h"
#include "engine/worker/workers.h"

namespace switchyard::engine {
namespace {

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

std::string helper_or_self(const std::string& helper) {
  return helper.empty() ? std::filesystem::read_symlink("/proc/self/exe").string() : helper;
}

/// Of the model's file alone; 0 when it cannot be read.
ByteSize file_size_of(const ModelSpec& spec) {
  const auto file = spec.args.find("model");
  std::error_code error;
  const auto size = file == spec.args.end() ? 0 : std::filesystem::file_size(file->second, error);
  return error ? ByteSize() : ByteSize(size);
}

class LoaderImpl final : public Loader {
 public:
  explicit LoaderImpl(const LoaderOptions& options)
      : inspector_(helper_or_self(options.helper_path), options.cache_path, options.default_prompt_cache),
        conversations_(make_store(options.conversations)),
        on_failed_(options.on_failed),
        workers_([program = helper_or_self(options.helper_path), cores = options.threads,
                  process_args = options.process_args](const std::string& name, const WorkerLimits& limits) {
          return worker::WorkerProcess::start({.program = program, .name = name, .board = busy_board()},
                                              {.build = ::llama_build_info(),
                                               .log_level = telemetry::log_level(),
                                               .limits = limits,
                                               .cores = cores,
                                               .process_args = process_args});
        }) {
    start_process_bridge();
    set_thread_budget(options.threads);
  }
  ~LoaderImpl() override { stop_process_bridge(); }
  LoaderImpl(const LoaderImpl&) = delete;
  LoaderImpl& operator=(const LoaderImpl&) = delete;

  [[nodiscard]] Result<Inspection> inspect(const ModelSpec& spec, const InspectOptions& options,
                                           std::stop_token stop) override {
    if (spec.isolation == Isolation::kNone) return inspector_.inspect(spec, options, stop);
    auto inspection =
        inspector_.inspect(spec, bounds_in_worker(options, spec.worker, file_size_of(spec)), stop);
    return inspection ? in_worker(std::move(*inspection), spec) : inspection;
  }

  [[nodiscard]] Result<std::unique_ptr<Engine>> load(const ModelSpec& spec, const Inspection& inspection,
                                                     const std::function<void(const LoadProgress&)>& progress,
                                                     std::stop_token stop) override {
    if (spec.isolation == Isolation::kNone) {
      const auto on_failed = [report = on_failed_, model = spec.model,
                              version = spec.version](const Error& why) {
        if (report) report(model, version, why);
      };
      return as_it_was_set(
          local_.load(spec, inspection, keeper_of(spec, inspection), progress, on_failed, stop), spec);
    }
    worker::LoadOrder order{.spec = spec, .inspection = inspection};
    order.inspection.weights_key = plain_weights_key(inspection.weights_key);
    order.inspection.details_json.clear();
    auto keeper = keeper_of(spec, order.inspection);
    order.keeps_conversations = keeper != nullptr;
    return as_it_was_set(workers_.load(order, std::move(keeper), progress, stop), spec);
  }

  void prefetch(const ModelSpec& spec, std::stop_token stop) override {
    const LowPriorityScope low;
    if (const auto file = spec.args.find("model"); file != spec.args.end()) {
      for (const std::string& path : split_files(file->second)) read_ahead(path, stop);
    }
  }

  void forget(const std::string& model, const std::string& version) override {
    adapters_.forget(model, version);
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

  [[nodiscard]] std::unique_ptr<ProcessRoutes> process_routes() override {
    return worker::make_shared_routes(make_stream_routes(), workers_);
  }

 private:
  [[nodiscard]] Result<std::unique_ptr<Engine>> as_it_was_set(Result<std::unique_ptr<Engine>> engine,
                                                              const ModelSpec& spec) {
    if (!engine) return engine;
    return adapters_.keep(*std::move(engine), spec);
  }
  [[nodiscard]] std::unique_ptr<SlotStateKeeper> keeper_of(const ModelSpec& spec,
                                                           const Inspection& inspection) {
    if (conversations_ == nullptr) return nullptr;
    return conversations_->open(version_name(spec.model, spec.version), state_shape(inspection));
  }

  Inspector inspector_;
  AdapterScales adapters_;
  const std::unique_ptr<ConversationStore> conversations_;
  const decltype(LoaderOptions::on_failed) on_failed_;
  LocalEngines local_{&inspector_.cache()};
  worker::Workers workers_;
};

}  // namespace

std::unique_ptr<Loader> make_loader(const LoaderOptions& options) {
  return std::make_unique<LoaderImpl>(options);
}

std::string sandbox_text() { return std::string(to_string(sandbox_support())); }

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
