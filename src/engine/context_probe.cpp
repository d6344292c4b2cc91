#include "engine/context_probe.h"

#include <cstddef>

#include "common.h"

extern "C" common_context_seq_rm_type __real__Z25common_context_can_seq_rmP13llama_context(
    llama_context* ctx);

namespace switchyard::engine {
namespace {

struct Current {
  ContextProbes* probes = nullptr;
  bool replay = false;
  std::size_t next = 0;
};
thread_local Current current;

}  // namespace

ContextProbeScope::ContextProbeScope(ContextProbes& known) {
  current = {.probes = &known, .replay = !known.empty(), .next = 0};
}

ContextProbeScope::~ContextProbeScope() { current = {}; }

static common_context_seq_rm_type probe(llama_context* ctx) {
  if (current.replay && current.next < current.probes->size()) {
    return static_cast<common_context_seq_rm_type>((*current.probes)[current.next++]);
  }
  const common_context_seq_rm_type answer = __real__Z25common_context_can_seq_rmP13llama_context(ctx);
  if (current.probes != nullptr && !current.replay) current.probes->push_back(answer);
  return answer;
}

}  // namespace switchyard::engine

extern "C" common_context_seq_rm_type __wrap__Z25common_context_can_seq_rmP13llama_context(
    llama_context* ctx) {
  return switchyard::engine::probe(ctx);
}
