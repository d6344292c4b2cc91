#pragma once

#include <memory>

#include "engine/api/process_routes.h"

namespace switchyard::engine {

/// llama-server's handlers of resumable streams, for those of this process. Needs a started bridge.
[[nodiscard]] std::unique_ptr<ProcessRoutes> make_stream_routes();

}  // namespace switchyard::engine
