#include "engine/mapping_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "engine/child_phase.h"

namespace switchyard::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPage = 4096;

/// A file of some pages of 'x', mapped as llama.cpp maps a model.
class MappedFile {
 public:
  explicit MappedFile(const std::string& name, std::size_t pages = 8)
      : path_(fs::temp_directory_path() / (name + std::to_string(::getpid()))), size_(pages * kPage) {
    std::ofstream(path_) << std::string(size_, 'x');
    const int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    data_ = static_cast<const char*>(::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0));
    ::close(file);
  }
  ~MappedFile() {
    ::munmap(const_cast<char*>(data_), size_);
    fs::remove(path_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] std::string path() const { return path_.string(); }
  [[nodiscard]] AddressRange range() const { return pages_of(data_, size_); }
  void cut_to(std::size_t bytes) const { fs::resize_file(path_, bytes); }
  [[nodiscard]] char at(std::size_t byte) const { return static_cast<const volatile char*>(data_)[byte]; }

 private:
  const fs::path path_;
  const std::size_t size_;
  const char* data_ = nullptr;
};

std::unique_ptr<MappingGuard> guard(const MappedFile& file) {
  return std::make_unique<MappingGuard>(std::vector{file.path()}, std::vector{file.range()});
}

TEST(MappingGuard, AMissingPageReadsAsZerosAndTheGuardSaysSo) {
  const MappedFile file("cut"), other("whole");
  const auto guarded = guard(file), untouched = guard(other);
  EXPECT_FALSE(guarded->damaged());
  file.cut_to(3 * kPage);
  std::thread([&] { EXPECT_EQ(file.at(5 * kPage), 0) << "on whatever thread it is met"; }).join();
  EXPECT_EQ(file.at(3 * kPage), 0) << "a lower page that is missing, too";
  EXPECT_EQ(file.at(8 * kPage - 1), 0);
  EXPECT_EQ(file.at(3 * kPage - 1), 'x');
  EXPECT_TRUE(guarded->damaged());
  EXPECT_FALSE(untouched->damaged());
  EXPECT_EQ(other.at(7 * kPage), 'x');
}

TEST(MappingGuard, DamageStaysWhenTheFileIsWholeAgain) {
  const MappedFile file("again");
  const auto guarded = guard(file);
  file.cut_to(0);
  EXPECT_EQ(file.at(0), 0);
  file.cut_to(8 * kPage);
  EXPECT_TRUE(guarded->damaged());
}

TEST(MappingGuard, AFileThatEndsWithinAPageIsSeenByItsSize) {
  const MappedFile file("within");
  const auto guarded = guard(file);
  file.cut_to(8 * kPage - 10);
  EXPECT_EQ(file.at(8 * kPage - 1), 0) << "the kernel shows zeros, without a signal";
  EXPECT_TRUE(guarded->damaged());
}

TEST(MappingGuard, AFileThatIsReplacedByARenameIsWholeUnderItsMapping) {
  const MappedFile file("renamed");
  const auto guarded = guard(file);
  const std::string next = file.path() + ".next";
  std::ofstream(next) << "short";
  fs::rename(next, file.path());
  EXPECT_EQ(file.at(8 * kPage - 1), 'x');
  EXPECT_FALSE(guarded->damaged());
}

TEST(MappingGuardDeathTest, WhatIsNotGuardedEndsTheProcessAsBefore) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's own handler comes first";
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const MappedFile guarded_file("guarded"), file("bare");
  EXPECT_EXIT(
      {
        const auto guarded = guard(guarded_file);
        file.cut_to(0);
        (void)file.at(0);
      },
      ::testing::KilledBySignal(SIGBUS), "");
  EXPECT_EXIT(
      {
        {
          const auto guarded = guard(file);
        }  // gone again
        file.cut_to(0);
        (void)file.at(0);
      },
      ::testing::KilledBySignal(SIGBUS), "");
  EXPECT_EXIT(
      {
        const auto guarded = guard(guarded_file);
        ::raise(SIGBUS);
      },
      ::testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace switchyard::engine
