#include "engine/damage_watch.h"

#include <utility>

#include "engine/weights_store.h"
#include "llama.h"

namespace switchyard::engine {
namespace {

constexpr std::int32_t kComputeFailed = -3;  // as llama_decode says it

thread_local const DamageScope* watching = nullptr;

}  // namespace

DamageScope::DamageScope(std::function<void()> on_damage) : on_damage_(std::move(on_damage)) {
  watching = this;
}

DamageScope::~DamageScope() { watching = nullptr; }

std::int32_t checked_decode(const llama_context* ctx, std::int32_t result) {
  if (!weights_are_damaged(llama_get_model(ctx))) return result;
  if (watching != nullptr) watching->on_damage_();
  return kComputeFailed;
}

}  // namespace switchyard::engine
