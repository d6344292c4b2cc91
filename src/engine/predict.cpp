#include "engine/predict.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/host_memory.h"
#include "common.h"
#include "engine/bridge.h"
#include "engine/host_buffers.h"
#include "engine/rehearsal.h"
#include "engine/weights_store.h"
#include "llama-cpp.h"
#include "llama-ext.h"
#include "mtmd.h"
#include "speculative.h"

namespace switchyard::engine {
namespace {

constexpr std::uint32_t kLeastContext = 4096;
constexpr std::uint32_t kContextStep = 256;  // llama.cpp pads contexts to this
constexpr std::uint32_t kLeastTrainedContext = 16;
constexpr std::uint32_t kLargestMadeContext = 1 << 20;
/// What a GPU's backend takes for a context beside its buffers, once it has worked (cuBLAS, pools). Measured
/// (bench/gpu.py) on an H200: 14 to 20 MiB, for 1B to 13B.
constexpr ByteSize kBackendPools = ByteSize::mib(16);

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

/// A GPU's pinned buffers on the host: the dry load, which maps nothing, puts there what stays on the
/// processor.
bool is_pinned(ggml_backend_buffer_type_t buft) {
  ggml_backend_dev_t dev = ggml_backend_buft_get_device(buft);
  return dev != nullptr && buft == ggml_backend_dev_host_buffer_type(dev);
}

/// The CPU's own buffer type is replaced by the mapped file when the model is mapped, and a GPU's pinned one
/// by the CPU's; every other is private.
bool is_mapped(ggml_backend_buffer_type_t buft, const llama_model_params& mparams) {
  const bool maps = mparams.load_mode == LLAMA_LOAD_MODE_AUTO || mparams.load_mode == LLAMA_LOAD_MODE_MMAP;
  return maps && llama_supports_mmap() && (buft == ggml_backend_cpu_buffer_type() || is_pinned(buft));
}

/// All that a device has.
ByteSize memory_of(const std::string& device) {
  ggml_backend_dev_t dev = ggml_backend_dev_by_name(device.c_str());
  std::size_t free = 0;
  std::size_t total = 0;
  if (dev != nullptr) ggml_backend_dev_memory(dev, &free, &total);
  return ByteSize(total);
}

void add_breakdown(const llama_context* ctx, const llama_model_params& mparams, MemoryNeed& need) {
  MeasuredBuffers buffers;
  for (const auto& [buft, bytes] : llama_get_memory_breakdown(ctx)) {
    MemoryNeed::Item& item = item_for(need, device_of(buft));
    const bool mapped = is_mapped(buft, mparams);
    (mapped ? item.weights_mapped : item.weights_private) += ByteSize(bytes.model);
    item.context += ByteSize(bytes.context);
    item.compute += ByteSize(bytes.compute);
    // The mapped weights are one of the buffers that were measured; they are not asked for.
    const auto file = std::ranges::find_if(buffers.seen, [&](const MeasuredBuffers::Buffer& buffer) {
      return mapped && buffer.type == buft && buffer.size == bytes.model;
    });
    if (file != buffers.seen.end()) buffers.seen.erase(file);
  }
  for (const auto& [buft, size] : buffers.seen) {
    if (device_of(buft) == "host" && !is_pinned(buft)) need.host_buffers.emplace_back(size);
  }
}

ByteSize budget_of(const InspectOptions& options, const MemoryNeed::Item& item) {
  if (item.device == "host") return options.host_budget;
  const auto it = options.device_budgets.find(item.device);
  if (it != options.device_budgets.end()) return it->second;
  return item.device_memory > ByteSize(0) ? default_device_budget(item.device_memory) : ByteSize(UINT64_MAX);
}

bool fits(const MemoryNeed& need, const InspectOptions& options) {
  return std::ranges::all_of(need.items, [&](const MemoryNeed::Item& item) {
    const ByteSize beside = item.device == "host" ? ByteSize() : options.beside_on_device;
    return item.total() + beside <= budget_of(options, item);
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

  /// Bytes of the model with a context of `n_ctx`, sampler and slot state included. llama.cpp needs
  /// time and memory for a context even without its buffers, so a huge one is judged by two large ones.
  Result<MemoryNeed> need(std::uint32_t n_ctx) const {
    if (n_ctx <= kLargestMadeContext) return need_of_made(n_ctx);
    auto large = need_of_made(kLargestMadeContext);
    if (!large) return large;
    const auto half = need_of_made(kLargestMadeContext / 2);
    if (!half) return half;
    constexpr std::uint32_t kStep = kLargestMadeContext / 2;
    large->host_buffers.clear();  // of another context
    const double steps = static_cast<double>(n_ctx - kLargestMadeContext) / kStep;
    const auto grow = [steps](ByteSize& at_large, ByteSize at_half) {
      at_large +=
          ByteSize(static_cast<std::uint64_t>(steps * static_cast<double>((at_large - at_half).bytes())));
    };
    for (std::size_t i = 0; i < std::min(large->items.size(), half->items.size()); ++i) {
      grow(large->items[i].context, half->items[i].context);
      grow(large->items[i].compute, half->items[i].compute);
    }
    return large;
  }

  [[nodiscard]] const llama_model* model() const { return model_.get(); }
  [[nodiscard]] std::uint32_t trained_context() const {
    return static_cast<std::uint32_t>(std::max(llama_model_n_ctx_train(model_.get()), 0));
  }

 private:
  explicit DryModel(common_params& params) : params_(&params) {}

  Result<MemoryNeed> need_of_made(std::uint32_t n_ctx) const {
    if (const auto known = made_.find(n_ctx); known != made_.end()) return known->second;
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
    add_breakdown(ctx.get(), mparams_, need);
    MemoryNeed::Item& host = need.items.front();
    host.vocabulary = ByteSize(heap_ + server_heap());
    made_.emplace(n_ctx, need);
    return need;
  }

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
  mutable std::map<std::uint32_t, MemoryNeed> made_;  // by context size
};

/// Models that were trained for one context and stretched to another choose their rotary factors by the size
/// of the context in use.
bool stretches_positions(const llama_model* model) {
  for (std::int32_t i = 0; i < llama_model_meta_count(model); ++i) {
    std::array<char, 256> key{};
    llama_model_meta_key_by_index(model, i, key.data(), key.size());
    if (std::string_view(key.data()).ends_with(".rope.scaling.original_context_length")) return true;
  }
  return false;
}

/// Projector and adapters: private bytes beside the main model, whatever the context.
Result<MemoryNeed> projector_and_adapters(const common_params& params, Inspection& inspection) {
  MemoryNeed need;
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
  for (const auto& adapter : params.lora_adapters) {
    std::error_code ec;
    const std::uint64_t bytes = std::filesystem::file_size(adapter.path, ec);
    if (ec)
      return fail(ErrorCode::kInvalidArgument, fmt::format("{}: no such LoRA adapter", adapter.path),
                  ec.message());
    item_for(need, "host").weights_private += ByteSize(bytes);
  }
  return need;
}

/// llama-server's prompt cache and, for sliding-window models, its checkpoints: bounds, not use.
ByteSize cache_bound(const common_params& params, const llama_model* model, std::uint32_t n_ctx,
                     ByteSize context) {
  const std::uint64_t ram =
      params.cache_ram_mib < 0 ? 8192 : static_cast<std::uint64_t>(params.cache_ram_mib);
  std::uint64_t bytes = ram << 20;
  const int window = llama_model_n_swa(model);
  if (window > 0 && !params.swa_full && n_ctx > 0) {
    const int most = std::min(params.n_ctx_checkpoints,
                              1 + static_cast<int>(n_ctx) / std::max(params.checkpoint_min_step, 1));
    const double share = std::min(1.0, static_cast<double>(window) / n_ctx);
    bytes +=
        static_cast<std::uint64_t>(most * params.n_parallel * share * static_cast<double>(context.bytes()));
  }
  return ByteSize(bytes);
}

/// A model with all that it takes along.
class Whole {
 public:
  static Result<Whole> load(common_params& params, Inspection& inspection) {
    auto model = DryModel::load(params);
    if (!model) return std::unexpected(model.error());
    auto companions = projector_and_adapters(params, inspection);
    if (!companions) return std::unexpected(companions.error());
    Whole whole(params, std::move(*model), std::move(*companions));
    if (params.speculative.has_dft()) {
      whole.draft_params_ = std::make_unique<common_params>(common_base_params_to_speculative(params));
      auto draft = DryModel::load(*whole.draft_params_);
      if (!draft) return std::unexpected(draft.error());
      whole.draft_.emplace(std::move(*draft));
    }
    return whole;
  }

  /// Loads the main model again, after a change of its layers' places.
  Status reload() {
    auto model = DryModel::load(*params_);
    if (!model) return std::unexpected(model.error());
    model_ = std::move(*model);
    return {};
  }

  /// Everything with a context of `n_ctx`, caches included.
  Result<MemoryNeed> need(std::uint32_t n_ctx) const {
    auto need = model_.need(n_ctx);
    if (!need) return need;
    for (const MemoryNeed::Item& extra : companions_.items) {
      item_for(*need, extra.device).weights_private += extra.weights_private;
    }
    ByteSize context;
    for (const MemoryNeed::Item& item : need->items) context += item.context;
    if (draft_) {
      const auto draft = draft_->need(n_ctx);
      if (!draft) return draft;
      need->host_buffers.insert(need->host_buffers.end(), draft->host_buffers.begin(),
                                draft->host_buffers.end());
      for (const MemoryNeed::Item& extra : draft->items) {
        MemoryNeed::Item& item = item_for(*need, extra.device);
        item.weights_private += extra.weights_mapped + extra.weights_private;
        item.context += extra.context;
        item.compute += extra.compute;
        item.vocabulary += extra.vocabulary;
      }
    }
    need->items.front().prompt_cache = cache_bound(*params_, model_.model(), n_ctx, context);
    for (MemoryNeed::Item& item : need->items) {
      if (item.device == "host") continue;
      item.compute += kBackendPools;
      item.device_memory = memory_of(item.device);
    }
    return need;
  }

  [[nodiscard]] const DryModel& model() const { return model_; }

 private:
  Whole(common_params& params, DryModel model, MemoryNeed companions)
      : params_(&params), model_(std::move(model)), companions_(std::move(companions)) {}

  common_params* params_;
  DryModel model_;
  MemoryNeed companions_;
  std::unique_ptr<common_params> draft_params_;
  std::optional<DryModel> draft_;
};

/// The largest context that the budgets admit; bytes grow with it, so bisect over 256-token steps.
Result<std::uint32_t> choose_context(const Whole& whole, const InspectOptions& options) {
  const std::uint32_t most = whole.model().trained_context();
  auto at_most = whole.need(most);
  if (!at_most) return std::unexpected(at_most.error());
  if (most <= kLeastContext || fits(*at_most, options)) return most;
  std::uint32_t low = kLeastContext / kContextStep;  // taken even where it does not fit: admission refuses it
  std::uint32_t high = most / kContextStep;
  while (high - low > 1) {
    const std::uint32_t middle = (low + high) / 2;
    const auto need = whole.need(middle * kContextStep);
    if (!need) return std::unexpected(need.error());
    (fits(*need, options) ? low : high) = middle;
  }
  return low * kContextStep;
}

/// As llama.cpp counts them for its n_gpu_layers: the output is one more.
int all_layers(const llama_model* model) {
  return llama_model_n_layer(model) + llama_model_n_layer_nextn(model) + 1;
}

/// The most layers on the GPUs whose budgets hold them, with the least context or the one that is asked for.
Status choose_gpu_layers(Whole& whole, common_params& params, const InspectOptions& options) {
  const std::uint32_t context = params.n_ctx > 0 ? static_cast<std::uint32_t>(params.n_ctx)
                                                 : std::min(kLeastContext, whole.model().trained_context());
  auto all = whole.need(context);
  if (!all) return std::unexpected(all.error());
  const bool on_gpu = std::ranges::any_of(all->items, [](const auto& item) { return item.device != "host"; });
  if (!on_gpu) return {};
  int low = 0;
  int high = all_layers(whole.model().model());
  if (fits(*all, options)) {  // "auto" puts all there; the number says so to whoever asks
    params.n_gpu_layers = high;
    return {};
  }
  while (high - low > 1) {
    params.n_gpu_layers = (low + high) / 2;
    if (auto loaded = whole.reload(); !loaded) return loaded;
    const auto need = whole.need(context);
    if (!need) return std::unexpected(need.error());
    (fits(*need, options) ? low : high) = params.n_gpu_layers;
  }
  params.n_gpu_layers = low;
  return whole.reload();
}

}  // namespace

Status predict_memory(const ModelSpec& spec, const InspectOptions& options, ByteSize default_prompt_cache,
                      common_params& params, Inspection& inspection) {
  const auto unset = [&](const char* name) { return !spec.args.contains(name); };
  if (unset("cache-ram")) {  // a cache is worth a small part of the memory, not the room of a model
    const ByteSize share(options.host_budget.bytes() / 16);
    params.cache_ram_mib = static_cast<std::int32_t>(std::min(default_prompt_cache, share).in_mib());
  }

  auto whole = Whole::load(params, inspection);
  if (!whole) return std::unexpected(whole.error());
  if (!params.embedding) {
    if (auto rendered = rehearse_template(params, whole->model().model()); !rendered) return rendered;
  }
  if (params.n_gpu_layers == -1) {  // llama.cpp's "auto"
    if (auto chosen = choose_gpu_layers(*whole, params, options); !chosen) return chosen;
  }
  if (params.n_ctx == 0) {
    if (whole->model().trained_context() < kLeastTrainedContext) {
      return fail(
          ErrorCode::kCorruptFile,
          fmt::format("{}: its metadata gives a context length of {}; where that is wrong, set ctx-size",
                      params.model.path, llama_model_n_ctx_train(whole->model().model())));
    }
    const auto chosen = choose_context(*whole, options);
    if (!chosen) return std::unexpected(chosen.error());
    params.n_ctx = static_cast<std::int32_t>(*chosen);
  }
  auto need = whole->need(static_cast<std::uint32_t>(params.n_ctx));
  if (!need) return std::unexpected(need.error());

  inspection.need = std::move(*need);
  inspection.weights_key = weights_key(params.model.path, common_model_params_to_llama(params));
  inspection.resolved_args = spec.args;
  inspection.resolved_args["ctx-size"] = std::to_string(params.n_ctx);
  inspection.resolved_args["cache-ram"] = std::to_string(params.cache_ram_mib);
  if (params.n_gpu_layers >= 0)
    inspection.resolved_args["n-gpu-layers"] = std::to_string(params.n_gpu_layers);
  inspection.context_shapes_state = stretches_positions(whole->model().model());
  inspection.n_ctx = static_cast<std::uint32_t>(params.n_ctx);
  inspection.n_ctx_train = whole->model().trained_context();
  inspection.n_layers = static_cast<std::uint32_t>(llama_model_n_layer(whole->model().model()));
  inspection.n_slots = static_cast<std::uint32_t>(params.n_parallel);
  inspection.n_params = llama_model_n_params(whole->model().model());
  return {};
}

}  // namespace switchyard::engine
