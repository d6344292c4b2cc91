#pragma once

#include <optional>
#include <string>

#include "http/services.h"

namespace switchyard::http {

/// An event as llama-server's router tells it on /models/sse, or none when the router has no such
/// event. Asks the manager for the model's entry when one became hot.
[[nodiscard]] std::optional<std::string> router_event_frame(const telemetry::Event& event,
                                                            const Services& services);

}  // namespace switchyard::http
