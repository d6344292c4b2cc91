#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/gguf_check.h"

// libFuzzer: any file is a summary or an error that names it. llama.cpp's parser is not instrumented: what
// this finds there is a crash, which the inspection child is for.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int file = ::memfd_create("fuzz", MFD_CLOEXEC);
  if (file < 0 || ::write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  const auto summary = switchyard::engine::check_gguf(path);
  if (!summary && !summary.error().message.starts_with(path + ":")) std::abort();
  if (summary && (summary->file_size.bytes() != size || !nlohmann::json::accept(summary->details_json))) {
    std::abort();
  }
  ::close(file);
  return 0;
}
