#pragma once

#include <map>
#include <string>
#include <string_view>

#include "engine/api/engine.h"
#include "http/server.h"
#include "switchyard/result.h"

namespace switchyard::http {

/// A multipart/form-data body as llama-server hands it to its handlers.
struct Form {
  std::string json;  ///< text fields as one object; a field that comes twice becomes an array
  std::map<std::string, engine::UploadedFile> files;
};

[[nodiscard]] bool is_multipart(const Request& request);

/// Errors: kInvalidArgument for a body that breaks the format or has no boundary.
[[nodiscard]] Result<Form> parse_multipart(std::string_view content_type, std::string_view body);

}  // namespace switchyard::http
