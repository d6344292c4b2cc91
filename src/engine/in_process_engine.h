#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "common.h"
#include "engine/api/engine.h"
#include "engine/context_probe.h"
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

  /// Loads; see EngineLoader::load. `tag` ("model@version") names it in log lines. `experience` is
  /// used and, on success, added to. `conversations`, where given, gets what the slots know when the
  /// engine ends, and gives it back to the requests that continue it.
  static Result<std::unique_ptr<Engine>> load(std::unique_ptr<common_params> params, const std::string& tag,
                                              Experience& experience,
                                              std::unique_ptr<SlotStateKeeper> conversations,
                                              const std::function<void(const LoadProgress&)>& progress,
                                              const std::stop_token& stop);
  ~InProcessEngine() override;
  InProcessEngine(const InProcessEngine&) = delete;
  InProcessEngine& operator=(const InProcessEngine&) = delete;

  [[nodiscard]] std::unique_ptr<Reply> handle(Request request) override;
  [[nodiscard]] EngineSample sample(std::chrono::milliseconds patience) override;
  [[nodiscard]] std::string info_json() const override;
  [[nodiscard]] std::string props_json() override;
  [[nodiscard]] std::shared_ptr<Weights> weights() override { return weights_; }

 private:
  InProcessEngine(std::unique_ptr<common_params> params, std::string tag);

  void start_loop();
  [[nodiscard]] Status prove();
  [[nodiscard]] EngineSample take_sample(std::chrono::milliseconds patience, bool& answered);

  // Constant after load().
  const std::unique_ptr<common_params> params_;
  const std::string tag_;
  std::shared_ptr<Weights> weights_;
  server_context context_;
  server_routes routes_;
  std::unique_ptr<SlotStateKeeper> keeper_;
  std::unique_ptr<SlotConversations> conversations_;  // null when they are not kept
  std::thread loop_;
  EngineSample before_users_;  // what the proof itself counted, taken off every sample

  Mutex sample_mutex_;
  EngineSample last_sample_ GUARDED_BY(sample_mutex_);
};

}  // namespace switchyard::engine
