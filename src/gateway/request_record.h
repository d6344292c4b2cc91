#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "base/clock.h"
#include "models/types.h"

namespace switchyard::gateway {

/// How a request ended.
enum class Outcome : std::uint8_t {
  kAnswered,    ///< the whole reply was handed to the client, whatever its status
  kClientGone,  ///< the client left first
  kFailed,      ///< no engine could be had, or its reply was cut and the client told so
};

/// One request, once it is over.
struct RequestRecord {
  models::VersionRef version;  ///< which version answered, or would have; empty when the name was unknown
  std::string method;
  std::string path;
  int status = 0;  ///< as sent to the client; 499 when it left before an answer
  Outcome outcome = Outcome::kAnswered;
  Duration queued{0};       ///< from arrival until an engine was leased
  Duration first_byte{0};   ///< from arrival until the head of the reply
  Duration total{0};        ///< from arrival until everything was released
  std::uint64_t bytes = 0;  ///< of the reply's body
};

/// Called once for each request on a worker thread or the loop thread; must not block.
using RequestObserver = std::function<void(const RequestRecord&)>;

}  // namespace switchyard::gateway
