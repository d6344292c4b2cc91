#include "engine/rehearsal.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "chat.h"
#include "common.h"
#include "engine/bridge.h"
#include "engine/child_phase.h"
#include "engine/in_process_engine.h"
#include "engine/weights_store.h"
#include "llama.h"

namespace switchyard::engine {
namespace {

using namespace std::chrono_literals;

constexpr ByteSize kMostRehearsed = ByteSize::gib(4);
constexpr std::int32_t kContextPerSlot = 256;
constexpr std::chrono::milliseconds kTemplateTakesAtMost = kSanitized ? 20s : 500ms;

std::unique_ptr<common_params> small_params(const common_params& whole) {
  auto params = std::make_unique<common_params>(whole);
  params->n_ctx = std::min(params->n_ctx, kContextPerSlot * std::max(params->n_parallel, 1));
  params->cache_ram_mib = 0;
  params->cache_idle_slots = false;
  params->warmup = false;
  params->cpuparams.n_threads = 1;
  params->cpuparams_batch.n_threads = 1;
  params->speculative.draft.cpuparams.n_threads = 1;
  params->speculative.draft.cpuparams_batch.n_threads = 1;
  params->devices = {nullptr};
  params->speculative.draft.devices = {nullptr};
  params->n_gpu_layers = 0;
  params->mmproj_use_gpu = false;
  params->load_mode = LLAMA_LOAD_MODE_AUTO;
  params->no_extra_bufts = true;  // the weights stay clean pages of the file
  return params;
}

}  // namespace

Status rehearse_template(const common_params& params, const llama_model* model) {
  const std::string& path = params.model.path;
  const ChildPhase phase({ErrorCode::kCorruptFile,
                          fmt::format("{}: its chat template does not come to an end; give the model another "
                                      "one with the option chat-template-file",
                                      path)},
                         kTemplateTakesAtMost);
  const LogCapture log(LogCapture::Echo::kNo);
  common_chat_templates_ptr templates;
  try {
    templates = common_chat_templates_init(model, params.chat_template);
  } catch (const std::exception& e) {
    return fail(ErrorCode::kCorruptFile,
                fmt::format("{}: its chat template is not one that llama.cpp understands; give the model "
                            "another one with the option chat-template-file",
                            path),
                e.what());
  }
  try {
    (void)common_chat_format_example(templates.get(), params.use_jinja, params.default_template_kwargs);
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): no error
    // Some templates refuse the example's system message and are right all the same.
  }
  return {};
}

Status rehearse(const ModelSpec& spec, const common_params& params, Inspection& inspection) {
  if (inspection.file_size > kMostRehearsed) return {};
  const ChildPhase phase(
      {ErrorCode::kCorruptFile,
       fmt::format("{}: llama.cpp gave up when it ran this model for the first time, in a process set aside "
                   "for that: the file is corrupt, or one of the model's options does not suit it",
                   params.model.path)});
  auto alone = small_params(params);
  InProcessEngine::Experience experience{
      .weights_key = weights_key(params.model.path, common_model_params_to_llama(*alone))};
  auto engine = InProcessEngine::load(std::move(alone), spec.model + "@" + spec.version, experience, nullptr,
                                      [](const LoadProgress&) {}, {}, {});
  if (engine) {
    inspection.context_probes = std::move(experience.probes);
    // Nothing to tear down is worth the time: this process is about to end. A sanitizer asks for its threads.
    if (!kSanitized) (void)engine->release();
    return {};
  }
  return fail(ErrorCode::kCorruptFile, engine.error().message, engine.error().cause);
}

}  // namespace switchyard::engine
