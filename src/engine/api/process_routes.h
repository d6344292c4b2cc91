#pragma once

#include <memory>

#include "engine/api/engine.h"

namespace switchyard::engine {

/// llama-server's handlers that belong to the process and not to one model: resumable streams
/// (GET and DELETE /v1/stream, POST /v1/streams/lookup). Any thread. A POST that carries
/// X-Conversation-Id to an engine makes the stream that is found here, whichever model answers.
class ProcessRoutes {
 public:
  virtual ~ProcessRoutes() = default;
  /// Never null; 404 for paths that it does not have.
  [[nodiscard]] virtual std::unique_ptr<Reply> handle(Request request) = 0;
};

}  // namespace switchyard::engine
