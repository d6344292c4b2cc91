#pragma once

#include <stop_token>
#include <string>

#include "engine/api/engine.h"
#include "store/inspection_cache.h"

namespace switchyard::engine {

/// Inspects files in child processes and remembers the answers, errors excepted, by path, size,
/// mtime, options and budgets. Any thread; inspect() blocks.
class Inspector {
 public:
  Inspector(std::string helper_path, const std::string& cache_path, ByteSize default_prompt_cache);

  [[nodiscard]] Result<Inspection> inspect(const ModelSpec& spec, const InspectOptions& options,
                                           const std::stop_token& stop);
  /// Where answers are kept over restarts; there is room for what else is learnt of files.
  [[nodiscard]] store::InspectionCache& cache() { return cache_; }

 private:
  const std::string helper_path_;
  const ByteSize default_prompt_cache_;
  store::InspectionCache cache_;
};

}  // namespace switchyard::engine
