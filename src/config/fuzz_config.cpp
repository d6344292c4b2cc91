#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/config_file.h"

// Any bytes are a config or an error that names the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = switchyard::config::parse_config(text, "fuzz.yaml");
  if (!config && !config.error().message.starts_with("fuzz.yaml:")) std::abort();
  return 0;
}
