#include "engine/file_mapping.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/low_priority.h"

namespace switchyard::engine {
namespace {

bool operator==(const AddressRange& a, const AddressRange& b) { return a.begin == b.begin && a.end == b.end; }

constexpr std::size_t kSize = std::size_t{8} << 20;

class FileMappingTest : public testing::Test {
 public:
  ~FileMappingTest() override { std::filesystem::remove(path_); }

 protected:
  FileMappingTest() {
    path_ = std::filesystem::temp_directory_path() / ("switchyard-mapping-" + std::to_string(::getpid()));
    std::ofstream(path_) << std::string(kSize, 'x');
  }
  /// A read-only shared mapping of the file, as llama.cpp makes it.
  [[nodiscard]] char* map() const {
    const int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    void* memory = ::mmap(nullptr, kSize, PROT_READ, MAP_SHARED, file, 0);
    ::close(file);
    return static_cast<char*>(memory);
  }

  std::filesystem::path path_;
};

TEST_F(FileMappingTest, AMappingIsFoundAndAClosedPartIsNoPartOfItAnyMore) {
  char* const memory = map();
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  ASSERT_EQ(mappings_of(path_).size(), 1U);
  EXPECT_TRUE(mappings_of(path_).front() == (AddressRange{begin, begin + kSize}));
  const AddressRange hole{begin + (1 << 20), begin + (2 << 20)};
  close_off(hole);
  const auto left = mappings_of(path_);
  ASSERT_EQ(left.size(), 2U);
  EXPECT_EQ(left[0].end, hole.begin);
  EXPECT_EQ(left[1].begin, hole.end);
  EXPECT_EQ(memory[0], 'x');
  EXPECT_EQ(memory[2 << 20], 'x');
  EXPECT_EQ(advise(left, MADV_DONTNEED), kSize - (1 << 20));
  EXPECT_EQ(memory[kSize - 1], 'x') << "it comes back from the page cache";
  ::munmap(memory, kSize);
  EXPECT_TRUE(mappings_of(path_).empty());
}

TEST(AddressRanges, HolesAreTakenOutInAnyOrder) {
  const auto left = without({{0, 10}, {20, 30}}, {{25, 27}, {3, 5}, {4, 6}, {9, 21}, {40, 50}});
  ASSERT_EQ(left.size(), 4U);
  EXPECT_TRUE(left[0] == (AddressRange{0, 3}));
  EXPECT_TRUE(left[1] == (AddressRange{6, 9}));
  EXPECT_TRUE(left[2] == (AddressRange{21, 25}));
  EXPECT_TRUE(left[3] == (AddressRange{27, 30}));
}

TEST_F(FileMappingTest, AFileIsReadAheadToItsEndOrUntilItIsStopped) {
  EXPECT_EQ(read_ahead(path_, {}), kSize);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(read_ahead(path_, stop.get_token()), 0U);
  EXPECT_EQ(read_ahead(path_.string() + "-absent", {}), 0U);
}

#ifdef __linux__
TEST(LowPriority, IsTakenBack) {
  const int before = ::sched_getscheduler(0);
  {
    const LowPriorityScope low;
    EXPECT_EQ(::sched_getscheduler(0), before == SCHED_OTHER ? SCHED_BATCH : before);
  }
  EXPECT_EQ(::sched_getscheduler(0), before);
}
#endif

}  // namespace
}  // namespace switchyard::engine
