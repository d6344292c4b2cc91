#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "http/front/request_reader.h"

// The first byte is the size of the pieces that the rest comes in.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using switchyard::ByteSize;
  using State = switchyard::http::RequestReader::State;
  if (size == 0) return 0;
  const std::size_t step = data[0] + std::size_t{1};
  std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  std::string waiting;
  switchyard::http::RequestReader reader(ByteSize(2048), ByteSize(4096));
  while (!rest.empty() && (reader.state() == State::kHead || reader.state() == State::kBody)) {
    waiting += rest.substr(0, step);
    rest.remove_prefix(std::min(step, rest.size()));
    waiting.erase(0, reader.feed(waiting));
  }
  if (reader.state() == State::kDone) {
    const auto request = reader.take();
    if (request.path.find('\0') != std::string::npos || request.body.size() > 4096) __builtin_trap();
  }
  return 0;
}
