#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "engine/api/loop_activity.h"
#include "llama.h"

namespace switchyard::engine {

/// Lets others see how one engine's decodes go on, and end them. llama.cpp asks its abort callback before
/// each node of a graph that the processor computes: that is the beat. Made and stopped by any thread; must
/// outlive the contexts that were decoded with in its scopes.
class DecodeWatch {
 public:
  /// For one scope, the decodes of this thread are those of `watch`.
  class Scope {
   public:
    explicit Scope(DecodeWatch& watch);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
  };

  /// `activity`: where the beats are told.
  explicit DecodeWatch(std::shared_ptr<LoopActivity> activity) : activity_(std::move(activity)) {}

  [[nodiscard]] const std::shared_ptr<LoopActivity>& activity() const { return activity_; }
  /// Decodes fail from now on, one that runs at its next node.
  void stop() noexcept { stopped_ = true; }
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }

  /// Around each decode: of the scope on this thread, if there is one.
  static void begin(llama_context* ctx);
  /// What llama_decode() or llama_encode() is to return. "Aborted" would have llama-server try again with
  /// less; a stopped engine's decode is an error.
  [[nodiscard]] static std::int32_t end(std::int32_t result);
  /// Whether the next decode is not even to begin.
  [[nodiscard]] static bool refuses();

 private:
  static bool on_node(void* watch);

  const std::shared_ptr<LoopActivity> activity_;
  std::atomic<bool> stopped_ = false;
};

}  // namespace switchyard::engine
