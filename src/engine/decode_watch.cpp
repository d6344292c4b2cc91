#include "engine/decode_watch.h"

namespace switchyard::engine {
namespace {

thread_local DecodeWatch* watching = nullptr;
constexpr std::int32_t kComputeError = -3;  // llama_decode's "fatal error"

}  // namespace

DecodeWatch::Scope::Scope(DecodeWatch& watch) { watching = &watch; }
DecodeWatch::Scope::~Scope() { watching = nullptr; }

bool DecodeWatch::on_node(void* watch) {
  auto* const self = static_cast<DecodeWatch*>(watch);
  self->activity_->beat();
  return self->stopped();
}

bool DecodeWatch::refuses() { return watching != nullptr && watching->stopped(); }

void DecodeWatch::begin(llama_context* ctx) {
  if (watching == nullptr) return;
  llama_set_abort_callback(ctx, &on_node, watching);
  watching->activity_->begin();
}

std::int32_t DecodeWatch::end(std::int32_t result) {
  if (watching == nullptr) return result;
  watching->activity_->beat();
  return watching->stopped() ? kComputeError : result;
}

}  // namespace switchyard::engine
