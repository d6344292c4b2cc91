#include "engine/in_process_engine.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <sstream>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "engine/api/sample_sum.h"
#include "engine/bridge.h"
#include "engine/damage_watch.h"
#include "engine/engine_reply.h"
#include "engine/host_buffers.h"
#include "engine/low_priority.h"
#include "engine/task_owner.h"
#include "engine/thread_budget.h"
#include "engine/weights_store.h"
#include "telemetry/log.h"

namespace switchyard::engine {
namespace {

using Handler = server_http_context::handler_t server_routes::*;

/// llama-server's routes of one model: "METHOD path" -> handler.
const std::unordered_map<std::string, Handler>& route_table() {
  using R = server_routes;
  static const std::unordered_map<std::string, Handler> table = {
      {"GET /health", &R::get_health},
      {"GET /v1/health", &R::get_health},
      {"GET /metrics", &R::get_metrics},
      {"GET /props", &R::get_props},
      {"POST /props", &R::post_props},
      {"GET /models", &R::get_models},
      {"GET /v1/models", &R::get_models},
      {"POST /completion", &R::post_completions},
      {"POST /completions", &R::post_completions},
      {"POST /v1/completions", &R::post_completions_oai},
      {"POST /chat/completions", &R::post_chat_completions},
      {"POST /v1/chat/completions", &R::post_chat_completions},
      {"POST /v1/chat/completions/control", &R::post_control},
      {"POST /v1/responses", &R::post_responses_oai},
      {"POST /responses", &R::post_responses_oai},
      {"POST /v1/audio/transcriptions", &R::post_transcriptions_oai},
      {"POST /audio/transcriptions", &R::post_transcriptions_oai},
      {"POST /v1/messages", &R::post_anthropic_messages},
      {"POST /infill", &R::post_infill},
      {"POST /embedding", &R::post_embeddings},
      {"POST /embeddings", &R::post_embeddings},
      {"POST /v1/embeddings", &R::post_embeddings_oai},
      {"POST /rerank", &R::post_rerank},
      {"POST /reranking", &R::post_rerank},
      {"POST /v1/rerank", &R::post_rerank},
      {"POST /v1/reranking", &R::post_rerank},
      {"POST /tokenize", &R::post_tokenize},
      {"POST /detokenize", &R::post_detokenize},
      {"POST /apply-template", &R::post_apply_template},
      {"POST /chat/completions/input_tokens", &R::post_chat_completions_tok},
      {"POST /v1/chat/completions/input_tokens", &R::post_chat_completions_tok},
      {"POST /responses/input_tokens", &R::post_responses_tok_oai},
      {"POST /v1/responses/input_tokens", &R::post_responses_tok_oai},
      {"POST /v1/messages/count_tokens", &R::post_anthropic_count_tokens},
      {"GET /lora-adapters", &R::get_lora_adapters},
      {"POST /lora-adapters", &R::post_lora_adapters},
      {"GET /slots", &R::get_slots},
  };
  return table;
}

/// Where nothing is kept.
class NoKeeper final : public SlotStateKeeper {
 public:
  std::shared_ptr<const SlotState> find(const std::string&, const std::vector<std::int32_t>&,
                                        std::size_t) override {
    return nullptr;
  }
  bool make_room(std::size_t) override { return false; }
  void put(SlotState) override {}
  void restored(const std::shared_ptr<const SlotState>&, bool) override {}
};

constexpr std::chrono::hours kFirstProof{1};  // a load takes as long as it takes
constexpr std::string_view kSlotPath = "/slots/";

/// At least zero: what a probe did may be taken off before llama.cpp has counted it.
EngineSample minus(EngineSample a, const EngineSample& b) {
  const auto take = [](auto& from, auto what) { from = from > what ? from - what : decltype(what){}; };
  take(a.prompt_tokens, b.prompt_tokens);
  take(a.prompt_seconds, b.prompt_seconds);
  take(a.predicted_tokens, b.predicted_tokens);
  take(a.predicted_seconds, b.predicted_seconds);
  take(a.decode_calls, b.decode_calls);
  take(a.busy_slot_sum, b.busy_slot_sum);
  return a;
}

Error damaged_error(const std::string& path) {
  return {
      ErrorCode::kCorruptFile,
      fmt::format("{}: the file was truncated while it was in use; put it back whole, and replace a model's "
                  "file by renaming a new one over it",
                  path)};
}

/// What a probe's reply says that it has cost: one prompt in one decode, and its tokens.
EngineSample cost_of_probe(const std::string& reply) {
  const json body = json::parse_no_throw(reply);
  const json timings = json_value(body, "timings", json::object());
  const json usage = json_value(body, "usage", json::object());
  return {
      .prompt_tokens = json_value(timings, "prompt_n", json_value(usage, "prompt_tokens", std::uint64_t{0})),
      .prompt_seconds = json_value(timings, "prompt_ms", 0.0) / 1e3,
      .predicted_tokens = json_value(timings, "predicted_n", std::uint64_t{0}),
      .predicted_seconds = json_value(timings, "predicted_ms", 0.0) / 1e3,
      .decode_calls = 1,
      .busy_slot_sum = 1};
}

LoadProgress to_progress(const json& payload) {
  LoadProgress progress;
  progress.stage = json_value(payload, "current", std::string());
  progress.stages = json_value(payload, "stages", std::vector<std::string>());
  progress.stages.emplace_back("warmup");
  progress.value = json_value(payload, "value", 0.0);
  return progress;
}

}  // namespace

InProcessEngine::InProcessEngine(std::unique_ptr<common_params> params, std::string tag, OnFailed on_failed)
    : params_(std::move(params)),
      tag_(std::move(tag)),
      on_failed_(std::move(on_failed)),
      watch_(busy_board().make_activity()),
      routes_(*params_, context_) {}

Result<std::unique_ptr<Engine>> InProcessEngine::load(
    std::unique_ptr<common_params> params, const std::string& tag, Experience& experience,
    std::unique_ptr<SlotStateKeeper> conversations, const std::function<void(const LoadProgress&)>& progress,
    OnFailed on_failed, const std::stop_token& stop) {
  const std::string path = params->model.path;
  const LogTag log_tag(tag);
  const LogCapture log;
  WeightsScope weights(stop, path, experience.weights_key);
  std::unique_ptr<InProcessEngine> engine(new InProcessEngine(std::move(params), tag, std::move(on_failed)));
  engine->context_.set_state_callback([&progress](server_state state, const json& payload) {
    if (state == SERVER_STATE_LOADING && payload.contains("stages")) progress(to_progress(payload));
  });
  // The proof below warms up as well as llama.cpp's own empty run, but for what it does not use.
  common_params& p = *engine->params_;
  if (experience.proven || (p.mmproj.path.empty() && !p.speculative.has_dft())) p.warmup = false;
  bool loaded = false;
  {
    const LoadingScope loading;
    const LowPriorityScope low;
    const PreparedBuffers buffers(experience.host_buffers);
    const ContextProbeScope probing(experience.probes);
    const DecodeScope decoding(engine->params_->cpuparams.n_threads,
                               engine->params_->cpuparams_batch.n_threads);
    try {
      loaded = engine->context_.load_model(*engine->params_);
    } catch (const std::exception& e) {
      return fail(ErrorCode::kInternal, fmt::format("{}: llama.cpp could not load it", path), e.what());
    }
  }
  if (stop.stop_requested())
    return fail(ErrorCode::kCancelled, fmt::format("{}: the load was cancelled", path));
  if (weights.file_changed()) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("{}: the file was replaced after it had been inspected; ask again", path));
  }
  if (weights.file_damaged()) return std::unexpected(damaged_error(path));
  if (!loaded)
    return fail(ErrorCode::kInternal, fmt::format("{}: llama.cpp could not load it", path), log.text());
  engine->zeroed_buffers_.finish_behind();
  engine->context_.set_state_callback([](server_state, const json&) {});
  engine->weights_ = weights.keep();
  engine->routes_.update_meta(engine->context_);
  engine->keeper_ = conversations != nullptr ? std::move(conversations) : std::make_unique<NoKeeper>();
  engine->conversations_ = connect_conversations(engine->context_, *engine->keeper_);
  connect_rounds(engine->context_, engine->prompts_first_, [activity = engine->watch_.activity()] {
    activity->end();
    end_idle_workers();
  });
  try {
    engine->start_loop();
  } catch (const std::system_error& e) {
    return fail(ErrorCode::kUnavailable, fmt::format("{}: no thread can be had for its engine", path),
                e.what());
  }
  if (!experience.proven) {
    progress({.stage = "warmup", .stages = {"warmup"}, .value = 0});
    const Status proven = engine->probe(kFirstProof);
    if (engine->damaged_) return std::unexpected(damaged_error(path));
    if (!proven) {
      return fail(ErrorCode::kInternal, fmt::format("{}: loaded, but its first generation failed", tag),
                  proven.error().to_string());
    }
    progress({.stage = "warmup", .stages = {"warmup"}, .value = 1});
    experience.proven = true;
  }
  engine->loaded_ = true;
  return engine;
}

/// A load that is not over fails by itself.
void InProcessEngine::weights_damaged() {
  if (damaged_.exchange(true) || !loaded_) return;
  const Error error = damaged_error(params_->model.path);
  telemetry::log_error(tag_, "{}", error.message);
  if (on_failed_) on_failed_(error);
}

void InProcessEngine::start_loop() {
  loop_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "engine-loop");
    const LogTag log(tag_);
    const DecodeScope decoding(params_->cpuparams.n_threads, params_->cpuparams_batch.n_threads);
    const DamageScope watching([this] { weights_damaged(); });
    const DecodeWatch::Scope watched(watch_);
    context_.start_loop();
    const MutexLock lock(end_mutex_);
    loop_ended_ = true;
    ended_.notify_all();
  });
  // A terminate() that came before the loop has begun would be lost: wait until it has answered.
  bool answered = false;
  EngineSample warm_up;
  while (!answered) warm_up = take_sample(std::chrono::seconds(1), answered);
  const MutexLock lock(sample_mutex_);
  probes_ = warm_up;
}

Status InProcessEngine::probe(std::chrono::milliseconds bound) {
  Request request{.method = "POST",
                  .path = "/completion",
                  .params = {},
                  .query_string = "",
                  .headers = {},
                  .body = R"({"prompt":"Hello","n_predict":1,"cache_prompt":false,"temperature":0})",
                  .files = {},
                  .owner = kProbe};
  if (params_->embedding) {
    const bool rank = params_->pooling_type == LLAMA_POOLING_TYPE_RANK;
    request.path = rank ? "/rerank" : "/embeddings";
    request.body = rank ? R"({"query":"a","documents":["b"]})" : R"({"content":"Hello"})";
  }
  const auto deadline = std::chrono::steady_clock::now() + bound;
  bool late = false;
  request.should_stop = [&] { return late = std::chrono::steady_clock::now() >= deadline; };
  const auto reply = handle(std::move(request));
  const std::string body = reply->take_body();
  if (late) {
    return fail(ErrorCode::kTimeout, fmt::format("{}: no answer within {} ms", tag_, bound.count()));
  }
  if (reply->status() != 200) return fail(ErrorCode::kInternal, tag_ + ": its generation failed", body);
  EngineSample cost = cost_of_probe(body);
  // llama-server's own embeddings do not say what they took, and OpenAI's form is refused without pooling.
  if (params_->embedding && cost.prompt_tokens == 0)
    cost.prompt_tokens = tokens_in(R"({"content":"Hello","add_special":true})");
  const MutexLock lock(sample_mutex_);
  probes_ = sum(probes_, cost);
  return {};
}

std::uint64_t InProcessEngine::tokens_in(const std::string& tokenize_body) {
  const auto reply = handle({.method = "POST",
                             .path = "/tokenize",
                             .params = {},
                             .query_string = "",
                             .headers = {},
                             .body = tokenize_body});
  return json_value(json::parse_no_throw(reply->take_body()), "tokens", std::vector<int>()).size();
}

bool InProcessEngine::abort(std::chrono::milliseconds bound) {
  watch_.stop();
  context_.terminate();
  const auto deadline = std::chrono::steady_clock::now() + bound;
  const MutexLock lock(end_mutex_);
  while (!loop_ended_ && std::chrono::steady_clock::now() < deadline) ended_.wait_until(end_mutex_, deadline);
  return loop_ended_;
}

InProcessEngine::~InProcessEngine() {
  const LogTag log(tag_);
  if (loop_.joinable()) {
    context_.terminate();
    loop_.join();
    try {
      // An aborted decode leaves half a state.
      if (conversations_ != nullptr && !damaged_ && !watch_.stopped()) conversations_->hand_over();
    } catch (const std::exception& e) {
      telemetry::log_warning(tag_, "its conversations are lost: {}", e.what());
    }
  }
}

/// llama-server's own text, without what probes have counted.
std::string InProcessEngine::without_probes(const std::string& metrics) {
  EngineSample probes;
  {
    const MutexLock lock(sample_mutex_);
    probes = probes_;
  }
  const std::pair<std::string_view, double> counted[] = {
      {"llamacpp:prompt_tokens_total ", static_cast<double>(probes.prompt_tokens)},
      {"llamacpp:prompt_seconds_total ", probes.prompt_seconds},
      {"llamacpp:tokens_predicted_total ", static_cast<double>(probes.predicted_tokens)},
      {"llamacpp:tokens_predicted_seconds_total ", probes.predicted_seconds},
      {"llamacpp:n_decode_total ", static_cast<double>(probes.decode_calls)}};
  std::stringstream lines(metrics), out;
  for (std::string line; std::getline(lines, line);) {
    for (const auto& [name, less] : counted) {
      if (!line.starts_with(name)) continue;
      std::ostringstream value;  // as llama.cpp writes it
      value << std::max(0.0, std::stod(line.substr(name.size())) - less);
      line = std::string(name) + value.str();
    }
    out << line << '\n';
  }
  return out.str();
}

std::unique_ptr<Reply> InProcessEngine::handle(Request request) {
  if (request.method == "GET" && request.path == "/metrics") {
    return call_handler(
        [this](const server_http_req& asked) {
          auto response = routes_.get_metrics(asked);
          if (response->status == 200) response->data = without_probes(response->data);
          return response;
        },
        std::move(request), tag_);
  }
  if (const auto route = route_table().find(request.method + ' ' + request.path);
      route != route_table().end()) {
    return call_handler(routes_.*(route->second), std::move(request), tag_);
  }
  if (request.method == "POST" && request.path.starts_with(kSlotPath)) {
    request.params["id_slot"] = request.path.substr(kSlotPath.size());
    return call_handler(routes_.post_slots, std::move(request), tag_);
  }
  return not_found_reply();
}

EngineSample InProcessEngine::take_sample(std::chrono::milliseconds patience, bool& answered) {
  auto reader = context_.get_response_reader();
  server_task task(SERVER_TASK_TYPE_METRICS);
  task.id = reader.get_new_id();
  reader.post_task(std::move(task), true);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const auto result = reader.next([&] { return std::chrono::steady_clock::now() >= deadline; });
  const auto* metrics = dynamic_cast<server_task_result_metrics*>(result.get());
  answered = metrics != nullptr;
  if (!answered) return {};
  const server_metrics& m = metrics->metrics;
  return {.prompt_tokens = m.prompt.count,
          .prompt_seconds = static_cast<double>(m.prompt.time) / 1e6,
          .predicted_tokens = m.predict.count,
          .predicted_seconds = static_cast<double>(m.predict.time) / 1e6,
          .decode_calls = m.n_decode,
          .busy_slot_sum = m.n_busy_slots,
          .max_tokens = m.n_tokens_max,
          .requests_processing = static_cast<std::uint32_t>(metrics->n_processing_slots),
          .requests_deferred = static_cast<std::uint32_t>(metrics->n_tasks_deferred)};
}

EngineSample InProcessEngine::sample(std::chrono::milliseconds patience) {
  bool answered = false;
  const EngineSample now = take_sample(patience, answered);
  const MutexLock lock(sample_mutex_);
  if (answered) last_sample_ = minus(now, probes_);
  return last_sample_;
}

std::string InProcessEngine::info_json() const { return safe_json_to_str(routes_.get_model_info()); }

std::string InProcessEngine::props_json() {
  Request request;
  request.method = "GET";
  request.path = "/props";
  return handle(std::move(request))->take_body();
}

}  // namespace switchyard::engine
