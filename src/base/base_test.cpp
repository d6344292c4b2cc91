#include <gtest/gtest.h>

#include <atomic>
#include <latch>

#include "base/executor.h"
#include "base/nearest.h"
#include "switchyard/byte_size.h"

namespace switchyard {
namespace {

TEST(ByteSize, ReadsTheFormsPeopleWrite) {
  EXPECT_EQ(ByteSize::parse("12GiB")->bytes(), 12ULL << 30);
  EXPECT_EQ(ByteSize::parse(" 512 MiB ")->bytes(), 512ULL << 20);
  EXPECT_EQ(ByteSize::parse("1.5G")->bytes(), 3ULL << 29);
  EXPECT_EQ(ByteSize::parse("64k")->bytes(), 64ULL << 10);
  EXPECT_EQ(ByteSize::parse("2MB")->bytes(), 2000000U);
  EXPECT_EQ(ByteSize::parse("800")->bytes(), 800U);
}

TEST(ByteSize, RefusesWhatIsNoSize) {
  for (const char* text : {"", "GiB", "-1G", "12XB", "1e3", "12 G B", "nan", "99999999T"}) {
    EXPECT_FALSE(ByteSize::parse(text)) << text;
  }
}

TEST(ByteSize, SubtractionStopsAtZero) { EXPECT_EQ((ByteSize(1) - ByteSize(2)).bytes(), 0U); }

TEST(Nearest, FindsTheNameThatWasMeant) {
  const std::vector<std::string> names{"smollm2", "gemma-3-270m", "qwen"};
  EXPECT_EQ(nearest_names("smolm2", names), std::vector<std::string>{"smollm2"});
  EXPECT_EQ(nearest_names("gemma", names), std::vector<std::string>{"gemma-3-270m"});
  EXPECT_EQ(nearest_names("qewn", names), std::vector<std::string>{"qwen"});
  EXPECT_TRUE(nearest_names("completely-else", names).empty());
  EXPECT_EQ(did_you_mean("qwenn", names), "; did you mean 'qwen'?");
}

TEST(ThreadPool, RunsEverythingBeforeItEnds) {
  std::atomic<int> done = 0;
  {
    ThreadPool pool("test", 4);
    for (int i = 0; i < 1000; ++i) pool.post([&] { ++done; });
  }
  EXPECT_EQ(done, 1000);
}

TEST(ThreadPool, BlockedTasksDoNotHoldBackOthers) {
  std::latch all_running(4);  // outlives the pool, whose threads wait at it
  ThreadPool pool("test", 8);
  for (int i = 0; i < 4; ++i) pool.post([&] { all_running.arrive_and_wait(); });
  all_running.wait();
}

}  // namespace
}  // namespace switchyard
