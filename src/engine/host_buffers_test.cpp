#include "engine/host_buffers.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "engine/huge_pages.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"

namespace switchyard::engine {
namespace {

constexpr std::size_t kSize = (std::size_t{8} << 20) + 4096;

TEST(HugePages, OneThatWasDearKeepsTheNextOnesSmallForAWhile) {
  using std::chrono::milliseconds;
  const TimePoint now = std::chrono::steady_clock::now();
  HugePages pages;
  EXPECT_TRUE(pages.pay(now));
  pages.took(milliseconds(1), now);
  EXPECT_TRUE(pages.pay(now));
  pages.took(milliseconds(12), now);
  EXPECT_FALSE(pages.pay(now));
  EXPECT_FALSE(pages.pay(now + HugePages::kLookAgain - milliseconds(1)));
  EXPECT_TRUE(pages.pay(now + HugePages::kLookAgain));
}

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

constexpr std::size_t kHuge = std::size_t{2} << 20;
constexpr std::size_t kPage = std::size_t{4} << 10;

ggml_backend_buffer_ptr cpu_buffer(std::size_t size) {
  return ggml_backend_buffer_ptr(ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size));
}

std::span<unsigned char> bytes_of(const ggml_backend_buffer_ptr& buffer) {
  return {static_cast<unsigned char*>(ggml_backend_buffer_get_base(buffer.get())),
          ggml_backend_buffer_get_size(buffer.get())};
}

/// Its bytes that have pages.
std::size_t resident(const ggml_backend_buffer_ptr& buffer) {
  const auto bytes = bytes_of(buffer);
  std::vector<unsigned char> pages(bytes.size() / kPage);
  EXPECT_EQ(::mincore(bytes.data(), bytes.size(), pages.data()), 0);
  return kPage *
         static_cast<std::size_t>(std::ranges::count_if(pages, [](unsigned char p) { return (p & 1) != 0; }));
}

bool all_zero(const ggml_backend_buffer_ptr& buffer) {
  return std::ranges::all_of(bytes_of(buffer), [](unsigned char byte) { return byte == 0; });
}

TEST(ZeroedBuffers, ReadAsZerosAlsoWhereMallocHadTheMemoryBefore) {
  for (int round = 0; round < 3; ++round) {
    ZeroedBuffers zeroed;
    const auto buffer = cpu_buffer(kSize);
    ggml_backend_buffer_clear(buffer.get(), 0);
    EXPECT_TRUE(all_zero(buffer));
    std::ranges::fill(bytes_of(buffer), 0xA5);
  }
}

TEST(ZeroedBuffers, OnlyTheFirstZeroingOfABufferIsLeftOut) {
  ZeroedBuffers zeroed;
  const auto buffer = cpu_buffer(kSize);
  ggml_backend_buffer_clear(buffer.get(), 0);
  std::ranges::fill(bytes_of(buffer), 0xA5);
  ggml_backend_buffer_clear(buffer.get(), 0);
  EXPECT_TRUE(all_zero(buffer));

  const auto other = cpu_buffer(kSize);
  ggml_backend_buffer_clear(other.get(), 0xFF);
  EXPECT_EQ(bytes_of(other).back(), 0xFF);
}

TEST(ZeroedBuffers, WhatIsWrittenStaysWhilePagesFollow) {
  ZeroedBuffers zeroed;
  const auto buffer = cpu_buffer(std::size_t{64} << 20);
  ggml_backend_buffer_clear(buffer.get(), 0);
  zeroed.finish_behind();
  std::ranges::fill(bytes_of(buffer), 0xA5);
  EXPECT_TRUE(std::ranges::all_of(bytes_of(buffer), [](unsigned char byte) { return byte == 0xA5; }));
}

TEST(ZeroedBuffers, ABufferMayGoFirst) {
  ZeroedBuffers zeroed;
  auto first = cpu_buffer(kSize);
  ggml_backend_buffer_clear(first.get(), 0);
  first.reset();
  const auto second = cpu_buffer(std::size_t{64} << 20);  // may lie where the first one did
  ggml_backend_buffer_clear(second.get(), 0);
  zeroed.finish_behind();
  EXPECT_TRUE(all_zero(second));
}

TEST(ZeroedBuffers, PagesArriveUntouched) {
  ZeroedBuffers zeroed;
  const auto buffer = cpu_buffer(std::size_t{64} << 20);
  if (::madvise(bytes_of(buffer).data(), kPage, MADV_POPULATE_WRITE) != 0) {
    GTEST_SKIP() << "Linux before 5.14 hands out pages only to who writes";
  }
  ggml_backend_buffer_clear(buffer.get(), 0);
  EXPECT_LE(resident(buffer), kHuge) << "zeroed by hand after all";
  zeroed.finish_behind();
  while (resident(buffer) < bytes_of(buffer).size()) std::this_thread::yield();
}

}  // namespace
}  // namespace switchyard::engine
