#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "pressure/pressure_watch.h"

namespace switchyard::pressure {
namespace {

using namespace std::chrono_literals;

MemoryReading reading(Duration at, std::uint64_t percent_left) {
  return {.at = TimePoint(1h) + std::chrono::duration_cast<TimePoint::duration>(at),
          .memory = {.total = ByteSize(1000), .available = ByteSize(10 * percent_left)},
          .stalled = 0s,
          .limit_hits = 0};
}

TEST(Shortages, WhenThereIsOneAndHowLarge) {
  struct Row {
    const char* what;
    std::uint64_t percent_left;
    Duration stalled;
    std::uint64_t hits;
    Wake wake;
    std::optional<std::uint64_t> missing;
  };
  const std::vector<Row> table = {
      {"plenty", 50, 0s, 0, Wake::kTime, std::nullopt},
      {"little, but nobody waits", 5, 0s, 0, Wake::kTime, std::nullopt},
      {"hardly any", 4, 0s, 0, Wake::kTime, 60},
      {"at the limit with plenty of page cache", 50, 0s, 9, Wake::kTime, std::nullopt},
      {"at the limit and little left", 9, 0s, 1, Wake::kTime, 10},
      {"waits a little", 50, 199ms, 0, Wake::kTime, std::nullopt},
      {"waits a fifth of the time", 50, 200ms, 0, Wake::kTime, 0},
      {"the kernel says so", 50, 0s, 0, Wake::kPressure, 0},
  };
  for (const Row& row : table) {
    MemoryReading now = reading(1s, row.percent_left);
    now.stalled = row.stalled;
    now.limit_hits = row.hits;
    const auto found = find_shortage(reading(0s, 50), now, row.wake);
    ASSERT_EQ(found.has_value(), row.missing.has_value()) << row.what;
    if (found) {
      EXPECT_EQ(found->missing.bytes(), *row.missing) << row.what;
    }
  }
}

TEST(Shortages, AreNotMadeUpWhereTheKernelOffersNothing) {
  const MemoryReading nothing{.at = TimePoint(1h), .memory = {}};
  EXPECT_FALSE(find_shortage(nothing, nothing, Wake::kTime));
}

class FakeSource final : public MemorySource {
 public:
  explicit FakeSource(const MemoryReading& now) : now_(now) {}
  MemoryReading read() override { return now_; }

 private:
  const MemoryReading& now_;
};

/// Wakes as it is told, then waits for the end.
class FakeTrigger final : public PressureTrigger {
 public:
  Wake wait(Duration) override { return Wake::kTime; }
  void interrupt() override {}
  [[nodiscard]] bool by_kernel() const override { return false; }
};

TEST(PressureWatches, ShedAndThenRest) {
  MemoryReading now = reading(0s, 50);
  std::vector<std::uint64_t> shed;
  PressureWatch watch({.source = std::make_unique<FakeSource>(now),
                       .trigger = std::make_unique<FakeTrigger>(),
                       .shed = [&](ByteSize missing) {
                         shed.push_back(missing.bytes());
                         return std::vector<std::string>{"a@1"};
                       }});
  const auto look = [&](Duration at, std::uint64_t percent_left) {
    now = reading(at, percent_left);
    watch.look(Wake::kTime);
  };
  look(1s, 20);
  EXPECT_TRUE(shed.empty());
  look(2s, 3);
  look(3s, 3);
  EXPECT_EQ(shed, (std::vector<std::uint64_t>{70})) << "what was unloaded is not free at once";
  look(4s, 3);
  EXPECT_EQ(shed.size(), 2U);
  look(6s, 50);
  EXPECT_EQ(shed.size(), 2U);
}

class KernelFilesTest : public ::testing::Test {
 protected:
  void SetUp() override { write("proc/meminfo", "MemTotal: 1024 kB\nMemAvailable: 512 kB\n"); }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  const std::filesystem::path root_ =
      std::filesystem::path(::testing::TempDir()) /
      (std::string("kernel_files_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
  static constexpr const char* kPsi =
      "some avg10=1.50 avg60=0.00 avg300=0.00 total=716606\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n";
};

TEST_F(KernelFilesTest, TheMachinesPressureWhereThereIsNoGroup) {
  write("proc/self/cgroup", "4:memory:/x\n0::/\n");
  write("proc/pressure/memory", kPsi);
  const MemoryReading now = make_memory_source(root_)->read();
  EXPECT_EQ(now.stalled, 716606us);
  EXPECT_EQ(now.limit_hits, std::nullopt);
  EXPECT_EQ(now.memory.available, ByteSize(512 << 10));
}

TEST_F(KernelFilesTest, TheGroupsOwnPressureAndEvents) {
  write("proc/self/cgroup", "0::/s\n");
  write("proc/pressure/memory", kPsi);
  write("sys/fs/cgroup/s/memory.max", "max\n");
  write("sys/fs/cgroup/s/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=42\n");
  write("sys/fs/cgroup/s/memory.events", "low 5\nhigh 1\nmax 2\noom 3\noom_kill 7\noom_group_kill 0\n");
  const MemoryReading now = make_memory_source(root_)->read();
  EXPECT_EQ(now.stalled, 42us);
  EXPECT_EQ(now.limit_hits, 6U);
}

TEST_F(KernelFilesTest, AKernelWithoutPressure) {
  EXPECT_EQ(make_memory_source(root_)->read().stalled, std::nullopt);
  EXPECT_TRUE(pressure_file(root_).empty());
}

TEST(PressureTriggers, WithoutAFileItIsTheTimeAlone) {
  for (const char* file : {"", "/no/such/file", "/dev/null"}) {
    const auto trigger = make_pressure_trigger(file);
    EXPECT_EQ(trigger->wait(0s), Wake::kTime) << file;
    trigger->interrupt();
    EXPECT_EQ(trigger->wait(24h), Wake::kTime) << "the end comes at once";
  }
}

TEST(PressureTriggers, TheKernelsOwnWhereItIsOffered) {
  const auto file = pressure_file();
  if (file.empty()) GTEST_SKIP() << "this kernel has no PSI";
  const auto trigger = make_pressure_trigger(file);
  trigger->interrupt();
  (void)trigger->wait(24h);  // whether it is pressed at this moment is not ours to say
}

}  // namespace
}  // namespace switchyard::pressure
