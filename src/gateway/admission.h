#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "switchyard/result.h"

// Who may wait for an engine, and for how long others wait for a client. Pure.

namespace switchyard::gateway {

/// Bounds of what requests may take. 0: no bound.
struct RequestLimits {
  std::uint32_t max_queue_per_model = 256;  ///< requests that wait for one version
  std::uint32_t max_queue = 1024;           ///< that wait for any
  Duration slow_reader_timeout =
      std::chrono::minutes(1);                        ///< for a client to make room for more of its stream
  Duration keep_slot_for = std::chrono::seconds(30);  ///< see FairnessSettings; 0: none is kept
};

/// What a new request for a version finds.
struct Queue {
  std::uint32_t requests = 0;  ///< for this version, held or with its engine, the new one not among them
  std::uint32_t slots = 0;     ///< of its engine, which work at once; 0 while it has none
  std::uint32_t waiting = 0;   ///< requests that wait for any version
};

/// Of `requests` for a version those that wait: its slots work for the rest.
[[nodiscard]] constexpr std::uint32_t waiting_of(std::uint32_t requests, std::uint32_t slots) {
  return requests > slots ? requests - slots : 0;
}

/// kOverloaded where the queue of `version` or of all is full; a request that a slot takes at once never
/// waits.
[[nodiscard]] std::optional<Error> why_not_queue(const std::string& version, const Queue& queue,
                                                 const RequestLimits& limits);

}  // namespace switchyard::gateway
