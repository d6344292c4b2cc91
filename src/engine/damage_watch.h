#pragma once

#include <cstdint>
#include <functional>

struct llama_context;

namespace switchyard::engine {

/// Calls `on_damage` on this thread when a decode of it has met damaged weights (weights_are_damaged()), for
/// one scope: an engine's loop. Before the decode returns, so that it is known before llama.cpp tells its
/// clients.
class DamageScope {
 public:
  explicit DamageScope(std::function<void()> on_damage);
  ~DamageScope();
  DamageScope(const DamageScope&) = delete;
  DamageScope& operator=(const DamageScope&) = delete;

 private:
  const std::function<void()> on_damage_;
  friend std::int32_t checked_decode(const llama_context* ctx, std::int32_t result);
};

/// What a decode of `ctx` returns to llama.cpp: `result`, or a failed computation where the weights were
/// damaged by its end. Nothing that was made of them goes on.
[[nodiscard]] std::int32_t checked_decode(const llama_context* ctx, std::int32_t result);

}  // namespace switchyard::engine
