#pragma once

#include <atomic>

#include "http/router.h"
#include "models/manager.h"

namespace switchyard::http {

enum class Readiness : std::uint8_t { kStarting, kReady, kStopping };

/// /health, /v1/health and /ready, the only routes that never ask for a key. Any thread. The first two say
/// whether the process works; /ready whether requests should be sent to it.
class Health {
 public:
  explicit Health(const models::Manager& manager) : manager_(manager) {}
  void add_routes(Router& router);
  void set(Readiness readiness) { readiness_ = readiness; }
  [[nodiscard]] bool ready() const { return readiness_ == Readiness::kReady; }
  /// The 503 that everything gets while not ready.
  [[nodiscard]] Response not_ready() const;

 private:
  const models::Manager& manager_;
  std::atomic<Readiness> readiness_ = Readiness::kStarting;
};

}  // namespace switchyard::http
