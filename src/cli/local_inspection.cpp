#include "cli/local_inspection.h"

#include "cli/server_process.h"
#include "engine/in_process.h"
#include "telemetry/log.h"

namespace switchyard::cli {

LocalInspector::LocalInspector(const std::string& cache_path) {
  telemetry::set_log_level(telemetry::LogLevel::kError);  // the caller prints what there is to say
  loader_ = engine::make_loader({.helper_path = own_path(), .cache_path = cache_path});
}

LocalInspector::~LocalInspector() = default;

Result<engine::Inspection> LocalInspector::inspect(const engine::ModelSpec& spec,
                                                   const engine::InspectOptions& options) {
  return loader_->inspect(spec, options, {});
}

ByteSize total_of(const engine::MemoryNeed& need) {
  ByteSize total;
  for (const auto& item : need.items) total += item.total();
  return total;
}

}  // namespace switchyard::cli
