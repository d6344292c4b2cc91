#pragma once

#include <functional>
#include <memory>
#include <stop_token>

#include "engine/api/engine.h"
#include "engine/slot_state.h"
#include "engine/worker/codec.h"
#include "engine/worker/worker.h"

namespace switchyard::engine::worker {

/// Loads an engine in `worker`: see EngineLoader::load. `keeper`, where given, keeps its conversations. What
/// a stopped load has begun is given up by the worker, or with it. The engine and its weights hold the
/// worker.
[[nodiscard]] Result<std::unique_ptr<Engine>> load_in(
    std::shared_ptr<Worker> worker, const LoadOrder& order, std::unique_ptr<SlotStateKeeper> keeper,
    const std::function<void(const LoadProgress&)>& progress, const std::stop_token& stop);

}  // namespace switchyard::engine::worker
