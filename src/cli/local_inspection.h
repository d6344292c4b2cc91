#pragma once

#include <memory>
#include <string>

#include "engine/api/engine.h"

namespace switchyard::cli {

/// Inspects files without a server: each in a child process of this program. One at a time.
class LocalInspector {
 public:
  /// `cache_path`: where the server keeps what it learnt; empty for none.
  explicit LocalInspector(const std::string& cache_path = {});
  ~LocalInspector();
  [[nodiscard]] Result<engine::Inspection> inspect(const engine::ModelSpec& spec,
                                                   const engine::InspectOptions& options);

 private:
  std::unique_ptr<engine::EngineLoader> loader_;
};

[[nodiscard]] ByteSize total_of(const engine::MemoryNeed& need);

}  // namespace switchyard::cli
