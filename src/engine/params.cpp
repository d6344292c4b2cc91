#include "engine/params.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "chat.h"
#include "common.h"
#include "engine/arg_tables.h"
#include "speculative.h"

namespace switchyard::engine {
namespace {

constexpr std::int32_t kLeastUsableContext = 16;  // below, llama.cpp's own warm-up does not fit in

/// Runs the handler of one option, as common_preset::apply_to_params does, but leaves a flag that
/// is "false" and has no negative form alone. Throws what the handler throws.
void apply_option(const common_arg& option, const std::string& value, common_params& params) {
  if (option.handler_string != nullptr) {
    option.handler_string(params, value);
  } else if (option.handler_int != nullptr) {
    option.handler_int(params, std::stoi(value));
  } else if (option.handler_bool != nullptr) {
    option.handler_bool(params, common_arg_utils::is_truthy(value));
  } else if (option.handler_void != nullptr) {
    if (common_arg_utils::is_truthy(value)) option.handler_void(params);
  } else {
    throw std::invalid_argument("it takes two values, which is not supported here");
  }
}

bool has_any(const ArgMap& args, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (args.contains(name)) return true;
  }
  return false;
}

/// How many logit rows a batch may ask for, as server_context decides it: it sizes the output buffers.
void limit_outputs(common_params& p) {
  const bool pooled =
      p.pooling_type != LLAMA_POOLING_TYPE_UNSPECIFIED && p.pooling_type != LLAMA_POOLING_TYPE_NONE;
  if (p.embedding || pooled) {
    p.n_outputs_max = p.n_batch;
    p.n_outputs_max_per_seq = 1;
    return;
  }
  const auto limits =
      common_speculative_get_output_limits(p.n_batch, p.n_parallel, common_speculative_n_max(&p.speculative));
  p.n_outputs_max = std::max<std::int32_t>(1, limits.total);
  p.n_outputs_max_per_seq = std::max<std::int32_t>(1, limits.per_seq);
}

/// What common_params_parse does after the options and llama-server's main() before the load.
void finish_params(const ArgMap& args, common_params& p) {
  postprocess_cpu_params(p.cpuparams, nullptr);
  postprocess_cpu_params(p.cpuparams_batch, &p.cpuparams);
  postprocess_cpu_params(p.speculative.draft.cpuparams, &p.cpuparams);
  postprocess_cpu_params(p.speculative.draft.cpuparams_batch, &p.cpuparams_batch);
  if (p.mmproj_use_gpu && p.mmproj_device == nullptr && !p.devices.empty()) {
    p.mmproj_device = p.devices.front();
    p.mmproj_use_gpu = p.mmproj_device != nullptr;
  }
  if (p.no_mmproj) p.mmproj = {};
  if (p.escape) {
    for (std::string& breaker : p.sampling.dry_sequence_breakers) string_process_escapes(breaker);
  }
  if (!p.kv_overrides.empty()) {
    p.kv_overrides.emplace_back();
    p.kv_overrides.back().key[0] = 0;
  }
  if (!p.tensor_buft_overrides.empty()) p.tensor_buft_overrides.push_back({nullptr, nullptr});
  if (!p.speculative.draft.tensor_buft_overrides.empty()) {
    p.speculative.draft.tensor_buft_overrides.push_back({nullptr, nullptr});
  }
  if (!p.default_template_kwargs.contains("preserve_reasoning")) {
    p.default_template_kwargs["preserve_reasoning"] = "true";
  }
  if (!has_any(args, {"batch-size"})) p.n_batch = p.n_ubatch;
  if (p.embedding && p.n_batch > p.n_ubatch) p.n_batch = p.n_ubatch;
  if (p.n_parallel < 0) {
    p.n_parallel = 4;
    p.kv_unified = true;
  }
  if (p.kv_unified_per_slot > 0 && p.n_ctx == 0) p.n_ctx = p.n_parallel * p.kv_unified_per_slot;
  limit_outputs(p);
  p.fit_params = false;
  p.endpoint_metrics = true;
  p.sleep_idle_seconds =
      -1;  // residency is the manager's business; llama-server's own sleep aborts on failure
}

/// Sizes that llama.cpp takes and then asserts on.
Status check_sizes(const ModelSpec& spec, const common_params& p) {
  const auto refuse = [&](const char* option, std::int32_t value, const std::string& takes) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("model '{}': option '{}' is {}; it takes {}", spec.model, option, value, takes));
  };
  const auto most_slots = static_cast<std::int32_t>(llama_max_parallel_sequences());
  if (p.n_ctx != 0 && p.n_ctx < kLeastUsableContext) {
    return refuse("ctx-size", p.n_ctx, fmt::format("{} or more, or 0 for what fits", kLeastUsableContext));
  }
  if (p.n_ubatch < 1) return refuse("ubatch-size", p.n_ubatch, "1 or more");
  if (p.n_batch < 1) return refuse("batch-size", p.n_batch, "1 or more");
  if (p.n_parallel < 1 || p.n_parallel > most_slots) {
    return refuse("parallel", p.n_parallel, fmt::format("1 to {}, or -1 for 4", most_slots));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<common_params>> make_params(const ModelSpec& spec) {
  const std::scoped_lock lock(arg_tables_mutex());
  auto params = std::make_unique<common_params>();
  params->n_parallel = -1;  // llama-server's default: "auto"
  for (const auto& [name, value] : spec.args) {
    const auto option = arg_tables().key_to_opt.find(name);
    if (option == arg_tables().key_to_opt.end()) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("model '{}': llama.cpp has no option '{}'", spec.model, name));
    }
    if (option->second.is_preset_only) continue;
    try {
      apply_option(option->second, value, *params);
    } catch (const std::exception& e) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("model '{}': option '{}' does not take '{}'", spec.model, name, value),
                  e.what());
    }
  }
  try {
    finish_params(spec.args, *params);
    if (!params->chat_template.empty() &&
        !common_chat_verify_template(params->chat_template, params->use_jinja)) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("model '{}': the chat template is not supported", spec.model));
    }
  } catch (const std::exception& e) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("model '{}': bad options", spec.model), e.what());
  }
  if (auto right = check_sizes(spec, *params); !right) return std::unexpected(right.error());
  // Replies carry the model id as loaded; further names are routing's business.
  params->model_alias = {spec.reply_name.empty() ? spec.model : spec.reply_name};
  return params;
}

}  // namespace switchyard::engine
