#pragma once

#include <algorithm>

#include "engine/api/engine.h"

namespace switchyard::engine {

/// Counters of two engines, or of one at two times, taken together.
[[nodiscard]] inline EngineSample sum(EngineSample a, const EngineSample& b) {
  a.prompt_tokens += b.prompt_tokens;
  a.prompt_seconds += b.prompt_seconds;
  a.predicted_tokens += b.predicted_tokens;
  a.predicted_seconds += b.predicted_seconds;
  a.decode_calls += b.decode_calls;
  a.busy_slot_sum += b.busy_slot_sum;
  a.max_tokens = std::max(a.max_tokens, b.max_tokens);
  a.requests_processing += b.requests_processing;
  a.requests_deferred += b.requests_deferred;
  return a;
}

}  // namespace switchyard::engine
