#pragma once

#include <string>

#include "switchyard/byte_size.h"
#include "switchyard/result.h"

namespace switchyard::engine {

/// What a GGUF's header says. Reads no tensor data.
struct GgufSummary {
  std::string architecture;
  ByteSize file_size;
  std::string details_json;  ///< metadata (long arrays as their length), tensor count and bytes by type
};

/// Checks that `path` is a whole, sound GGUF as far as its header tells: magic, metadata, tensor
/// table, and every tensor within the file. Only to be called in an inspection child: a hostile file
/// may crash llama.cpp's parser. Errors name the file and the fault: kNotFound, kCorruptFile.
[[nodiscard]] Result<GgufSummary> check_gguf(const std::string& path);

}  // namespace switchyard::engine
