#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/worker/codec.h"
#include "engine/worker/read_as_all.h"

// Any bytes are messages, each of which is understood or not, or an error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace switchyard::engine::worker;  // NOLINT(google-build-using-namespace)
  std::span<const std::uint8_t> left(data, size);
  const ByteSource source = [&](std::span<std::uint8_t> to) -> switchyard::Status {
    if (to.size() > left.size()) return switchyard::fail(switchyard::ErrorCode::kUnavailable, "no more");
    std::copy_n(left.begin(), to.size(), to.begin());
    left = left.subspan(to.size());
    return {};
  };
  for (auto message = read_message(source); message; message = read_message(source)) {
    read_as_all(*message);
  }
  return 0;
}
