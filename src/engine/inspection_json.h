#pragma once

#include <string>

#include "engine/api/engine.h"

// The messages between the server and its inspection child: one JSON object each way.

namespace switchyard::engine {

struct InspectionRequest {
  ModelSpec spec;
  InspectOptions options;
  ByteSize default_prompt_cache;
};

[[nodiscard]] std::string to_json(const InspectionRequest& request);
[[nodiscard]] Result<InspectionRequest> inspection_request_from_json(const std::string& text);

/// Either an inspection or an error.
[[nodiscard]] std::string to_json(const Result<Inspection>& answer);
/// kInternal when the text is no answer at all.
[[nodiscard]] Result<Inspection> inspection_from_json(const std::string& text);

}  // namespace switchyard::engine
