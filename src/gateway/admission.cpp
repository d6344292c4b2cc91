#include "gateway/admission.h"

#include <fmt/format.h>

namespace switchyard::gateway {

std::optional<Error> why_not_queue(const std::string& version, const Queue& queue,
                                   const RequestLimits& limits) {
  if (queue.requests < queue.slots) return std::nullopt;
  const std::uint32_t before = waiting_of(queue.requests, queue.slots);
  if (limits.max_queue_per_model > 0 && before >= limits.max_queue_per_model) {
    return Error{
        ErrorCode::kOverloaded,
        fmt::format("{} requests wait for '{}' already, which is the limit (max_queue_per_model); try "
                    "again in a moment",
                    before, version)};
  }
  if (limits.max_queue > 0 && queue.waiting >= limits.max_queue) {
    return Error{
        ErrorCode::kOverloaded,
        fmt::format("{} requests wait already, which is the limit (max_queue); try again in a moment",
                    queue.waiting)};
  }
  return std::nullopt;
}

}  // namespace switchyard::gateway
