#include "base/strand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

namespace switchyard {
namespace {

TEST(Strand, RunsInOrderAndOneAtATime) {
  ThreadPool pool("test", 8);
  std::atomic<int> inside = 0;
  std::atomic<bool> overlapped = false;
  std::vector<int> order;
  {
    Strand strand(pool);
    for (int i = 0; i < 1000; ++i) {
      strand.post([&, i] {
        if (++inside != 1) overlapped = true;
        order.push_back(i);
        --inside;
      });
    }
  }
  EXPECT_FALSE(overlapped);
  ASSERT_EQ(order.size(), 1000U);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST(Strand, ACallComesAfterWhatWasPosted) {
  ThreadPool pool("test", 2);
  Strand strand(pool);
  std::vector<int> order;
  std::latch go(1);
  strand.post([&] {
    go.wait();
    order.push_back(1);
    strand.post([&] { order.push_back(2); });
  });
  go.count_down();
  strand.call([&] { order.push_back(3); });
  strand.call([] {});
  EXPECT_EQ(order.front(), 1);
  EXPECT_THAT(order, ::testing::UnorderedElementsAre(1, 2, 3));
}

TEST(Strand, NothingRunsAfterItsEnd) {
  InlineExecutor now;
  Strand strand(now);
  strand.finish();
  bool ran = false;
  strand.post([&] { ran = true; });
  EXPECT_FALSE(ran);
}

TEST(Strand, PostsFromTasksAndManyThreadsAreAllRun) {
  ThreadPool pool("test", 4);
  int count = 0;
  {
    Strand strand(pool);
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 200; ++i) strand.post([&] { strand.post([&] { ++count; }); });
      });
    }
    threads.clear();
  }
  EXPECT_EQ(count, 800);
}

}  // namespace
}  // namespace switchyard
