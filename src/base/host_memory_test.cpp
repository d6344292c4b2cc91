#include "base/host_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace switchyard {
namespace {

class HostMemoryTest : public testing::Test {
 protected:
  void SetUp() override { write("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:  1 kB\n"); }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  const std::filesystem::path root_ =
      std::filesystem::path(testing::TempDir()) /
      (std::string("host_memory_") + testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(HostMemoryTest, TheMachinesMemoryWhereThereIsNoGroup) {
  EXPECT_EQ(host_memory_limit(root_), ByteSize::gib(16));
}

TEST_F(HostMemoryTest, TheLeastLimitOfTheGroupsAbove) {
  write("proc/self/cgroup", "0::/slice/service\n");
  write("sys/fs/cgroup/slice/service/memory.max", "max\n");
  write("sys/fs/cgroup/slice/memory.max", "2147483648\n");
  write("sys/fs/cgroup/memory.max", "8589934592\n");
  EXPECT_EQ(host_memory_limit(root_), ByteSize::gib(2));
}

TEST_F(HostMemoryTest, InAContainerThePathIsTheRoot) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "1073741824\n");
  EXPECT_EQ(host_memory_limit(root_), ByteSize::gib(1));
}

TEST_F(HostMemoryTest, OldGroupsCountToo) {
  write("proc/self/cgroup", "12:cpu,cpuacct:/docker/a\n7:memory:/docker/a\n");
  write("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "4294967296\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(host_memory_limit(root_), ByteSize::gib(4));
}

TEST(DefaultMemoryBudget, LeavesAMargin) {
  EXPECT_EQ(default_memory_budget(ByteSize::gib(1)), ByteSize::mib(512));
  EXPECT_EQ(default_memory_budget(ByteSize::gib(2)), ByteSize::mib(1536));
  EXPECT_EQ(default_memory_budget(ByteSize::gib(20)), ByteSize::gib(18));
  EXPECT_EQ(default_memory_budget(ByteSize::gib(100)), ByteSize::gib(96));
  EXPECT_EQ(default_device_budget(ByteSize::gib(1)), ByteSize::mib(512));
  EXPECT_EQ(default_device_budget(ByteSize::gib(8)), ByteSize::gib(7));
  EXPECT_EQ(default_device_budget(ByteSize::gib(80)), ByteSize::gib(76));
}

TEST_F(HostMemoryTest, WhatIsAvailableIsTheMachinesWhereNoGroupIsTighter) {
  write("proc/meminfo", "MemTotal: 1048576 kB\nMemFree: 1 kB\nMemAvailable: 524288 kB\n");
  EXPECT_EQ(host_memory(root_).total, ByteSize::gib(1));
  EXPECT_EQ(host_memory(root_).available, ByteSize::mib(512));
  write("proc/self/cgroup", "0::/a/b\n");
  write("sys/fs/cgroup/a/b/memory.max", "max\n");
  write("sys/fs/cgroup/a/b/memory.current", "1\n");
  write("sys/fs/cgroup/a/memory.max", "536870912\n");
  write("sys/fs/cgroup/a/memory.current", "536870912\n");
  write("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 53687091\nactive_file 53687091\n");
  EXPECT_EQ(host_memory(root_).total, ByteSize::mib(512)) << "a fifth of it is left, of the machine's a half";
  EXPECT_EQ(host_memory(root_).available, ByteSize(107374182));
}

TEST_F(HostMemoryTest, AGroupOfVersionOneAndAMachineThatTellsNothing) {
  write("proc/meminfo", "MemTotal: 1048576 kB\nMemAvailable: 524288 kB\n");
  write("proc/self/cgroup", "4:memory:/g\n");
  write("sys/fs/cgroup/memory/g/memory.limit_in_bytes", "1000000\n");
  write("sys/fs/cgroup/memory/g/memory.usage_in_bytes", "900000\n");
  write("sys/fs/cgroup/memory/g/memory.stat", "inactive_file 1\ntotal_inactive_file 100000\n");
  EXPECT_EQ(host_memory(root_).available, ByteSize(200000));
  write("proc/meminfo", "");
  write("proc/self/cgroup", "");
  EXPECT_EQ(host_memory(root_).total, ByteSize());
}

}  // namespace
}  // namespace switchyard
