#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/multipart.h"

// Up to the first line feed: the Content-Type's parameters; behind it: the body.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto line = input.find('\n');
  const std::string_view body = line == std::string_view::npos ? input : input.substr(line + 1);
  const std::string_view type =
      line == std::string_view::npos ? "multipart/form-data; boundary=b" : input.substr(0, line);
  const auto form = switchyard::http::parse_multipart(type, body);
  if (form) {
    std::size_t files = 0;
    for (const auto& [name, file] : form->files) files += file.data.size();
    if (files > body.size()) __builtin_trap();
  }
  return 0;
}
