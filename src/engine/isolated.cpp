#include "engine/isolated.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace switchyard::engine {
namespace {

constexpr std::string_view kMark = "|worker of ";

ByteSize less(ByteSize from, ByteSize what) { return from > what ? from - what : ByteSize(1); }

}  // namespace

InspectOptions bounds_in_worker(const InspectOptions& options, const WorkerLimits& limits,
                                ByteSize file_size) {
  InspectOptions bounds = options;
  if (limits.memory > ByteSize(0))
    bounds.host_budget = std::min(bounds.host_budget, limits.memory + file_size);
  bounds.host_budget = less(bounds.host_budget, kWorkerBase);
  bounds.beside_on_device = kWorkerOnDevice;
  return bounds;
}

Result<Inspection> in_worker(Inspection inspection, const ModelSpec& spec) {
  ByteSize own = kWorkerBase;
  for (MemoryNeed::Item& item : inspection.need.items) {
    if (item.device != "host") {
      item.vocabulary += kWorkerOnDevice;
      continue;
    }
    own += item.total() - item.weights_mapped;
    item.vocabulary += kWorkerBase;
  }
  if (spec.worker.memory > ByteSize(0) && own > spec.worker.memory) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("model '{}' needs {} of its own and worker_memory lets it have {}: raise that, or "
                    "lower ctx-size, parallel or cache-ram",
                    spec.model, own.to_string(), spec.worker.memory.to_string()));
  }
  inspection.weights_key += fmt::format("{}{}@{}", kMark, spec.model, spec.version);
  return inspection;
}

std::string plain_weights_key(const std::string& weights_key) {
  return weights_key.substr(0, weights_key.rfind(kMark));
}

}  // namespace switchyard::engine
