#include "engine/predict.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "common.h"
#include "engine/bridge.h"
#include "engine/weights_store.h"
#include "llama-cpp.h"
#include "llama-ext.h"
#include "mtmd.h"
#include "speculative.h"

namespace switchyard::engine {
namespace {

constexpr std::uint32_t kLeastContext = 4096;
constexpr std::uint32_t kContextStep = 256;  // llama.cpp pads contexts to this

/// Heap of this process, in use. What a no_alloc load adds to it is what the vocabulary, the tensor
/// table and the like will take in the server.
std::uint64_t heap_in_use() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

MemoryNeed::Item& item_for(MemoryNeed& need, const std::string& device) {
  for (MemoryNeed::Item& item : need.items) {
    if (item.device == device) return item;
  }
  need.items.push_back({.device = device});
  return need.items.back();
}

/// Where bytes of a buffer type live: "host" or the name of a GPU-like device.
std::string device_of(ggml_backend_buffer_type_t buft) {
  ggml_backend_dev_t dev = ggml_backend_buft_get_device(buft);
  if (dev == nullptr || ggml_backend_buft_is_host(buft)) return "host";
  const auto type = ggml_backend_dev_type(dev);
  const bool gpu = type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
  return gpu ? ggml_backend_dev_name(dev) : "host";
}

/// The CPU's own buffer type is replaced by the mapped file when the model is mapped; every other is private.
bool is_mapped(ggml_backend_buffer_type_t buft, const llama_model_params& mparams) {
  const bool maps = mparams.load_mode == LLAMA_LOAD_MODE_AUTO || mparams.load_mode == LLAMA_LOAD_MODE_MMAP;
  return maps && llama_supports_mmap() && buft == ggml_backend_cpu_buffer_type();
}

void add_breakdown(const llama_context* ctx, const llama_model_params& mparams, bool count_weights,
                   MemoryNeed& need) {
  for (const auto& [buft, bytes] : llama_get_memory_breakdown(ctx)) {
    MemoryNeed::Item& item = item_for(need, device_of(buft));
    if (count_weights)
      (is_mapped(buft, mparams) ? item.weights_mapped : item.weights_private) += ByteSize(bytes.model);
    item.context += ByteSize(bytes.context);
    item.compute += ByteSize(bytes.compute);
  }
}

ByteSize budget_of(const InspectOptions& options, const std::string& device) {
  if (device == "host") return options.host_budget;
  const auto it = options.device_budgets.find(device);
  return it == options.device_budgets.end() ? ByteSize(UINT64_MAX) : it->second;
}

bool fits(const MemoryNeed& need, const InspectOptions& options) {
  return std::ranges::all_of(need.items, [&](const MemoryNeed::Item& item) {
    return item.total() <= budget_of(options, item.device);
  });
}

/// What llama.cpp's last complaint means.
Error load_error(const std::string& path, const std::string& said) {
  if (said.find("unknown model architecture") != std::string::npos) {
    return {ErrorCode::kUnsupportedArchitecture,
            fmt::format("{}: this build of llama.cpp does not know the model's architecture", path), said};
  }
  return {ErrorCode::kCorruptFile, fmt::format("{}: llama.cpp cannot load this model", path), said};
}

/// One model, built without its tensors' memory, and contexts on it.
class DryModel {
 public:
  static Result<DryModel> load(common_params& params) {
    DryModel dry(params);
    const std::uint64_t before = heap_in_use();
    const LogCapture log(LogCapture::Echo::kNo);
    dry.mparams_ = common_model_params_to_llama(params);
    llama_model_params no_alloc = dry.mparams_;
    no_alloc.no_alloc = true;
    no_alloc.load_mode = LLAMA_LOAD_MODE_NONE;
    dry.model_.reset(llama_model_load_from_file(params.model.path.c_str(), no_alloc));
    if (dry.model_ == nullptr) return std::unexpected(load_error(params.model.path, log.text()));
    dry.heap_ = heap_in_use() - before;
    return dry;
  }

  /// Bytes of the model with a context of `n_ctx`, sampler and slot state included.
  Result<MemoryNeed> need(std::uint32_t n_ctx) const {
    llama_context_params cparams = common_context_params_to_llama(*params_);
    cparams.n_ctx = n_ctx;
    const LogCapture log(LogCapture::Echo::kNo);
    const llama_context_ptr ctx(llama_init_from_model(model_.get(), cparams));
    if (ctx == nullptr) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}: llama.cpp cannot make a context of {} tokens with these options",
                              params_->model.path, n_ctx),
                  log.text());
    }
    MemoryNeed need;
    need.items.push_back({.device = "host"});
    add_breakdown(ctx.get(), mparams_, true, need);
    MemoryNeed::Item& host = need.items.front();
    host.vocabulary = ByteSize(heap_ + server_heap());
    // Without a GPU the file is mapped as a whole, also under tensors that were repacked from it.
    if (need.items.size() == 1 && host.weights_mapped.bytes() > 0)
      host.weights_mapped += host.weights_private;
    return need;
  }

  [[nodiscard]] const llama_model* model() const { return model_.get(); }
  [[nodiscard]] const llama_model_params& mparams() const { return mparams_; }
  [[nodiscard]] std::uint32_t trained_context() const {
    return static_cast<std::uint32_t>(std::max(llama_model_n_ctx_train(model_.get()), 1));
  }

 private:
  explicit DryModel(common_params& params) : params_(&params) {}

  /// What server_context and llama.cpp keep beside the model and its buffers: samplers, token pieces, chat
  /// templates, code pages. Measured (bench/memory_prediction) over vocabularies of 49k and 262k tokens with
  /// one and four slots: 76 bytes per token, 5 more per token and slot, and 3 MiB.
  [[nodiscard]] std::uint64_t server_heap() const {
    const auto n_vocab =
        static_cast<std::uint64_t>(llama_vocab_n_tokens(llama_model_get_vocab(model_.get())));
    const auto slots = static_cast<std::uint64_t>(std::max(params_->n_parallel, 1));
    return n_vocab * (76 + 5 * slots) + (std::uint64_t{3} << 20);
  }

  common_params* params_;
  llama_model_params mparams_ = {};
  llama_model_ptr model_;
  std::uint64_t heap_ = 0;
};

/// The largest context that the budgets admit; bytes grow with it, so bisect over 256-token steps.
Result<std::uint32_t> choose_context(const DryModel& dry, const InspectOptions& options) {
  const std::uint32_t most = dry.trained_context();
  auto at_most = dry.need(most);
  if (!at_most) return std::unexpected(at_most.error());
  if (most <= kLeastContext || fits(*at_most, options)) return most;
  std::uint32_t low = kLeastContext / kContextStep;  // taken even where it does not fit: admission refuses it
  std::uint32_t high = most / kContextStep;
  while (high - low > 1) {
    const std::uint32_t middle = (low + high) / 2;
    const auto need = dry.need(middle * kContextStep);
    if (!need) return std::unexpected(need.error());
    (fits(*need, options) ? low : high) = middle;
  }
  return low * kContextStep;
}

/// The most layers on the GPUs whose budgets hold them, with the least context.
Result<DryModel> choose_gpu_layers(DryModel dry, common_params& params, const InspectOptions& options) {
  const auto context = std::min(kLeastContext, dry.trained_context());
  auto all = dry.need(params.n_ctx > 0 ? static_cast<std::uint32_t>(params.n_ctx) : context);
  if (!all) return std::unexpected(all.error());
  const bool on_gpu = std::ranges::any_of(all->items, [](const auto& item) { return item.device != "host"; });
  if (!on_gpu || fits(*all, options)) return dry;
  int low = 0;
  int high = llama_model_n_layer(dry.model()) + 1;
  while (high - low > 1) {
    params.n_gpu_layers = (low + high) / 2;
    auto tried = DryModel::load(params);
    if (!tried) return std::unexpected(tried.error());
    const auto need = tried->need(context);
    if (!need) return std::unexpected(need.error());
    (fits(*need, options) ? low : high) = params.n_gpu_layers;
  }
  params.n_gpu_layers = low;
  return DryModel::load(params);
}

/// Projector, draft model and adapters: private bytes beside the main model.
Status add_companions(common_params& params, MemoryNeed& need, Inspection& inspection) {
  if (!params.mmproj.path.empty()) {
    const mtmd_caps caps = mtmd_get_cap_from_file(params.mmproj.path.c_str());
    inspection.inp_vision = caps.inp_vision;
    inspection.inp_audio = caps.inp_audio;
    if (!caps.inp_vision && !caps.inp_audio) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}: not a multimodal projector that llama.cpp knows", params.mmproj.path));
    }
    mtmd_context_params mtmd_params = mtmd_context_params_default();
    mtmd_params.use_gpu = params.mmproj_use_gpu;
    for (const auto& [dev, bytes] : mtmd_get_memory_usage(params.mmproj.path.c_str(), mtmd_params)) {
      const bool cpu = dev == nullptr || ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_CPU;
      item_for(need, cpu ? "host" : ggml_backend_dev_name(dev)).weights_private += ByteSize(bytes);
    }
  }
  if (params.speculative.has_dft()) {
    common_params draft_params = common_base_params_to_speculative(params);
    auto draft = DryModel::load(draft_params);
    if (!draft) return std::unexpected(draft.error());
    const auto draft_need = draft->need(static_cast<std::uint32_t>(params.n_ctx));
    if (!draft_need) return std::unexpected(draft_need.error());
    for (const MemoryNeed::Item& extra : draft_need->items) {
      MemoryNeed::Item& item = item_for(need, extra.device);
      item.weights_private += extra.weights_mapped + extra.weights_private;
      item.context += extra.context;
      item.compute += extra.compute;
      item.vocabulary += extra.vocabulary;
    }
  }
  for (const auto& adapter : params.lora_adapters) {
    std::error_code ec;
    const std::uint64_t bytes = std::filesystem::file_size(adapter.path, ec);
    if (ec)
      return fail(ErrorCode::kInvalidArgument, fmt::format("{}: no such LoRA adapter", adapter.path),
                  ec.message());
    item_for(need, "host").weights_private += ByteSize(bytes);
  }
  return {};
}

/// llama-server's prompt cache and, for sliding-window models, its checkpoints: bounds, not use.
ByteSize cache_bound(const common_params& params, const llama_model* model, ByteSize context) {
  const std::uint64_t ram =
      params.cache_ram_mib < 0 ? 8192 : static_cast<std::uint64_t>(params.cache_ram_mib);
  std::uint64_t bytes = ram << 20;
  const int window = llama_model_n_swa(model);
  if (window > 0 && !params.swa_full && params.n_ctx > 0) {
    const int most =
        std::min(params.n_ctx_checkpoints, 1 + params.n_ctx / std::max(params.checkpoint_min_step, 1));
    const double share = std::min(1.0, static_cast<double>(window) / params.n_ctx);
    bytes +=
        static_cast<std::uint64_t>(most * params.n_parallel * share * static_cast<double>(context.bytes()));
  }
  return ByteSize(bytes);
}

}  // namespace

Status predict_memory(const ModelSpec& spec, const InspectOptions& options, ByteSize default_prompt_cache,
                      common_params& params, Inspection& inspection) {
  const auto unset = [&](const char* name) { return !spec.args.contains(name); };
  if (unset("cache-ram")) {  // a cache is worth a small part of the memory, not the room of a model
    const ByteSize share(options.host_budget.bytes() / 16);
    params.cache_ram_mib = static_cast<std::int32_t>(std::min(default_prompt_cache, share).in_mib());
  }

  auto dry = DryModel::load(params);
  if (!dry) return std::unexpected(dry.error());
  if (params.n_gpu_layers == -1) {  // llama.cpp's "auto"
    dry = choose_gpu_layers(std::move(*dry), params, options);
    if (!dry) return std::unexpected(dry.error());
  }
  InspectOptions left = options;  // for the context: what the prompt cache does not take
  left.host_budget -= ByteSize::mib(static_cast<std::uint64_t>(std::max(params.cache_ram_mib, 0)));
  if (params.n_ctx == 0) {
    const auto chosen = choose_context(*dry, left);
    if (!chosen) return std::unexpected(chosen.error());
    params.n_ctx = static_cast<std::int32_t>(*chosen);
  }
  auto need = dry->need(static_cast<std::uint32_t>(params.n_ctx));
  if (!need) return std::unexpected(need.error());
  if (auto added = add_companions(params, *need, inspection); !added) return added;
  need->items.front().prompt_cache = cache_bound(params, dry->model(), need->items.front().context);

  inspection.need = std::move(*need);
  inspection.weights_key = weights_key(params.model.path, dry->mparams());
  inspection.resolved_args = spec.args;
  inspection.resolved_args["ctx-size"] = std::to_string(params.n_ctx);
  inspection.resolved_args["cache-ram"] = std::to_string(params.cache_ram_mib);
  if (params.n_gpu_layers >= 0)
    inspection.resolved_args["n-gpu-layers"] = std::to_string(params.n_gpu_layers);
  inspection.n_ctx = static_cast<std::uint32_t>(params.n_ctx);
  inspection.n_ctx_train = dry->trained_context();
  inspection.n_layers = static_cast<std::uint32_t>(llama_model_n_layer(dry->model()));
  inspection.n_slots = static_cast<std::uint32_t>(params.n_parallel);
  inspection.n_params = llama_model_n_params(dry->model());
  return {};
}

}  // namespace switchyard::engine
