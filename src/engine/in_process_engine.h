#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "common.h"
#include "engine/api/engine.h"
#include "engine/context_probe.h"
#include "engine/decode_watch.h"
#include "engine/host_buffers.h"
#include "engine/prompts_first.h"
#include "engine/slot_state.h"
#include "server-context.h"

namespace switchyard::engine {

/// One server_context of llama.cpp with its loop on a thread of its own.
class InProcessEngine final : public Engine {
 public:
  /// What is known of these weights with these options from before; the rest is empty at their first load.
  struct Experience {
    std::string weights_key = {};  ///< what the model's file was inspected as
    ContextProbes probes = {};
    std::vector<ByteSize> host_buffers =
        {};               ///< what the load will ask for; empty where it finds its weights held
    bool proven = false;  ///< it has generated; a return from parked needs no second proof
  };
  /// Called once, on the engine's loop, when it cannot go on.
  using OnFailed = std::function<void(const Error&)>;

  /// Loads; see EngineLoader::load. `tag` ("model@version") names it in log lines. `experience` is
  /// used and, on success, added to. `conversations`, where given, gets what the slots know when the
  /// engine ends, and gives it back to the requests that continue it. `on_failed` is not called for a load.
  static Result<std::unique_ptr<Engine>> load(std::unique_ptr<common_params> params, const std::string& tag,
                                              Experience& experience,
                                              std::unique_ptr<SlotStateKeeper> conversations,
                                              const std::function<void(const LoadProgress&)>& progress,
                                              OnFailed on_failed, const std::stop_token& stop);
  ~InProcessEngine() override;
  InProcessEngine(const InProcessEngine&) = delete;
  InProcessEngine& operator=(const InProcessEngine&) = delete;

  [[nodiscard]] std::unique_ptr<Reply> handle(Request request) override;
  [[nodiscard]] EngineSample sample(std::chrono::milliseconds patience) override;
  [[nodiscard]] std::string info_json() const override;
  [[nodiscard]] std::string props_json() override;
  [[nodiscard]] std::shared_ptr<Weights> weights() override { return weights_; }
  [[nodiscard]] Status probe(std::chrono::milliseconds bound) override;
  [[nodiscard]] std::shared_ptr<const LoopActivity> activity() const override { return watch_.activity(); }
  [[nodiscard]] bool abort(std::chrono::milliseconds bound) override;
  [[nodiscard]] PromptsFirst& prompts_first() { return prompts_first_; }

 private:
  InProcessEngine(std::unique_ptr<common_params> params, std::string tag, OnFailed on_failed);

  void start_loop();
  void weights_damaged();
  [[nodiscard]] std::uint64_t tokens_in(const std::string& tokenize_body);
  [[nodiscard]] EngineSample take_sample(std::chrono::milliseconds patience, bool& answered);

  // Constant after load().
  const std::unique_ptr<common_params> params_;
  const std::string tag_;
  const OnFailed on_failed_;
  std::shared_ptr<Weights> weights_;
  PromptsFirst prompts_first_;
  DecodeWatch watch_;  // before the contexts that ask it
  server_context context_;
  ZeroedBuffers zeroed_buffers_;  // of the context
  server_routes routes_;
  std::unique_ptr<SlotStateKeeper> keeper_;
  std::unique_ptr<SlotConversations> conversations_;  // null until it is loaded
  std::thread loop_;

  std::atomic<bool> loaded_ = false;
  std::atomic<bool> damaged_ = false;  ///< computes with what is not its weights
  Mutex sample_mutex_;
  EngineSample last_sample_ GUARDED_BY(sample_mutex_);
  [[nodiscard]] std::string without_probes(const std::string& metrics) EXCLUDES(sample_mutex_);

  EngineSample probes_ GUARDED_BY(sample_mutex_);  // what they counted, taken off every sample

  Mutex end_mutex_;
  CondVar ended_;
  bool loop_ended_ GUARDED_BY(end_mutex_) = false;
};

}  // namespace switchyard::engine
