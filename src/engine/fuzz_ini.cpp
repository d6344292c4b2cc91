#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "engine/ini_text.h"

// Any bytes are sections with unique names, or an error that begins with its line.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto sections = switchyard::engine::parse_ini({reinterpret_cast<const char*>(data), size});
  if (!sections) {
    if (std::atoi(sections.error().message.c_str()) < 1) std::abort();
    return 0;
  }
  std::set<std::string> names;
  for (const auto& section : *sections) {
    if (!names.insert(section.name).second) std::abort();
  }
  return 0;
}
