#pragma once

#include <memory>
#include <optional>

#include "engine/api/engine.h"
#include "engine/worker/worker.h"

namespace switchyard::engine::worker {

/// Sends `request` to an engine of `worker`, or without one to its handlers of resumable streams. Never null.
/// While somebody waits for the reply, the request's should_stop is asked a few times a second and travels as
/// the channel's hanging up. The reply's end waits for that of the worker's.
[[nodiscard]] std::unique_ptr<Reply> ask(std::shared_ptr<Worker> worker, std::optional<std::uint64_t> engine,
                                         Request request);

}  // namespace switchyard::engine::worker
