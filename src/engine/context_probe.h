#pragma once

#include <vector>

namespace switchyard::engine {

/// Answers of llama.cpp's trial of a new context: whether parts of a sequence can be taken out of it.
/// The trial decodes two tokens and clears the whole KV cache twice (half of the time of a return from
/// parked), and its outcome depends only on model and options.
using ContextProbes = std::vector<int>;

/// For one scope on this thread: the trials of the contexts made in it are answered from `known`, in
/// order; when `known` is empty they are run and recorded there.
class ContextProbeScope {
 public:
  explicit ContextProbeScope(ContextProbes& known);
  ~ContextProbeScope();
  ContextProbeScope(const ContextProbeScope&) = delete;
  ContextProbeScope& operator=(const ContextProbeScope&) = delete;
};

}  // namespace switchyard::engine
