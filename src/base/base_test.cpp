#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <mutex>
#include <set>

#include "base/executor.h"
#include "base/free_memory.h"
#include "base/nearest.h"
#include "base/printable.h"
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

TEST(Nearest, ComparesBaseNamesWithoutTheExtension) {
  const std::vector<std::string> names{"smollm2", "user/gemma-3:Q4"};
  EXPECT_EQ(did_you_mean("SmolLM2.gguf", names), "; did you mean 'smollm2'?");
  EXPECT_EQ(did_you_mean("/srv/models/smolm2.gguf", names), "; did you mean 'smollm2'?");
  EXPECT_EQ(did_you_mean("gemma-3", names), "; did you mean 'user/gemma-3:Q4'?");
}

TEST(Nearest, NeverSuggestsTheWordItself) {
  const std::vector<std::string> names{"load", "loud"};
  EXPECT_EQ(did_you_mean("load", names), "; did you mean 'loud'?");
  EXPECT_EQ(did_you_mean("load", std::span(names).first(1)), "");
}

TEST(Nearest, ListsAFewNamesWhereNothingIsNear) {
  const std::vector<std::string> names{"a1", "b2", "c3", "d4"};
  EXPECT_EQ(did_you_mean_or_known("b3", names), "; did you mean 'b2' or 'c3'?");
  EXPECT_EQ(did_you_mean_or_known("something", names), "; there are 'a1', 'b2', 'c3' and 1 more");
  EXPECT_EQ(did_you_mean_or_known("something", std::span(names).first(1)), "; there is 'a1'");
  EXPECT_EQ(did_you_mean_or_known("something", {}), "");
}

TEST(Printable, NothingSteersTheTerminal) {
  EXPECT_EQ(printable("a\x1b[2J\x07\x7f\r\tb\n"), "a [2J   \tb\n");
  EXPECT_EQ(printable("gr\u00fc\u00df \u009b31m"), "gr\u00fc\u00df  31m");
  EXPECT_EQ(printable_line("one\ntwo\tthree\xc2"), "one two three\xc2");
}

TEST(FreeMemory, WhatIsReleasedHoldsNothing) {
  std::string text(1000, 'x');
  release(text);
  EXPECT_TRUE(text.empty());
  EXPECT_LT(text.capacity(), 100U);
}

TEST(ThreadPool, RunsEverythingBeforeItEnds) {
  std::atomic<int> done = 0;
  {
    ThreadPool pool("test", 4);
    for (int i = 0; i < 1000; ++i) pool.post([&] { ++done; });
  }
  EXPECT_EQ(done, 1000);
}

TEST(ThreadPool, OneThreadIsThereBeforeTheFirstTask) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  GTEST_SKIP() << "a sanitizer needs address space of its own";
#endif
#endif
  // With no more threads to be had a task must still find one.
  struct rlimit before{}, none{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
  ThreadPool pool("test", 8);
  std::atomic<int> done = 0;
  none = before;
  none.rlim_cur = 0;  // no stack for a thread
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &none), 0);
  std::latch all(3);
  for (int i = 0; i < 3; ++i) {
    pool.post([&] {
      ++done;
      all.count_down();
    });
  }
  all.wait();
  ::setrlimit(RLIMIT_AS, &before);
  EXPECT_EQ(done, 3);
}

TEST(ThreadPool, AThreadThatHasLivedLongHandsOver) {
  std::mutex mutex;
  std::set<pid_t> threads;
  {
    ThreadPool pool("test", 1, std::chrono::milliseconds(0));
    for (int i = 0; i < 20; ++i) {
      pool.post([&] {
        const std::scoped_lock lock(mutex);
        threads.insert(::gettid());
      });
    }
    std::latch all(1);
    pool.post([&] { all.count_down(); });
    all.wait();
  }
  EXPECT_GT(threads.size(), 10U);
}

TEST(ThreadPool, BlockedTasksDoNotHoldBackOthers) {
  std::latch all_running(4);  // outlives the pool, whose threads wait at it
  ThreadPool pool("test", 8);
  for (int i = 0; i < 4; ++i) pool.post([&] { all_running.arrive_and_wait(); });
  all_running.wait();
}

}  // namespace
}  // namespace switchyard
