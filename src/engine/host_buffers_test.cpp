#include "engine/host_buffers.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

namespace switchyard::engine {
namespace {

constexpr std::size_t kSize = (std::size_t{8} << 20) + 4096;

TEST(PreparedBuffers, AreHandedOutOnceToWhoAsksForThatSize) {
  PreparedBuffers prepared({ByteSize(kSize), ByteSize(kSize), ByteSize(kSize * 2)});
  void* first = prepared.take(kSize);
  void* second = prepared.take(kSize);
  ASSERT_TRUE(first != nullptr && second != nullptr);
  EXPECT_NE(first, second);
  EXPECT_EQ(prepared.take(kSize), nullptr);
  EXPECT_EQ(prepared.take(kSize - 1), nullptr);
  // While their pages are still being made, they are the owner's: what is written stays.
  std::memset(first, 0x5A, kSize);
  EXPECT_EQ(static_cast<unsigned char*>(first)[kSize - 1], 0x5A);
  std::free(first);   // NOLINT(cppcoreguidelines-no-malloc)
  std::free(second);  // NOLINT(cppcoreguidelines-no-malloc)
}  // the third was never asked for: a leak would be the sanitizer's

TEST(PreparedBuffers, SmallOnesAreNotWorthIt) {
  PreparedBuffers prepared({ByteSize(4096)});
  EXPECT_EQ(prepared.take(4096), nullptr);
}

}  // namespace
}  // namespace switchyard::engine
