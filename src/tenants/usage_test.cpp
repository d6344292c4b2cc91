#include "tenants/usage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard::tenants {
namespace {

using store::UsageRow;
using testing::ElementsAre;
using testing::IsEmpty;

class UsageTest : public testing::Test {
 protected:
  WallTime now_ = std::chrono::sys_days(std::chrono::year(2026) / 2 / 28) + std::chrono::hours(23);
  store::StateDatabase state_;
  Usage usage_{store::UsageStore(state_), [this] { return now_; }};
};

TEST_F(UsageTest, AddsUpPerKeyModelAndDay) {
  usage_.note({.key_id = "k", .model = "a", .prompt_tokens = 10, .generated_tokens = 3});
  usage_.note({.key_id = "k", .model = "a", .failed = true});
  usage_.note({.key_id = "k", .model = "b", .generated_tokens = 1});
  usage_.note({.key_id = "other", .model = "a"});
  now_ += std::chrono::hours(1);
  usage_.note({.key_id = "k", .model = "a", .prompt_tokens = 1});
  EXPECT_THAT(*usage_.report({.key_id = "k"}), ElementsAre(UsageRow{"k", "a", "2026-02-28", 2, 1, 10, 3},
                                                           UsageRow{"k", "b", "2026-02-28", 1, 0, 0, 1},
                                                           UsageRow{"k", "a", "2026-03-01", 1, 0, 1, 0}));
  EXPECT_EQ(usage_.report({})->size(), 4U);
}

TEST_F(UsageTest, IsOnDiskAfterAFlushAndCountedOnce) {
  usage_.note({.key_id = "k", .model = "a"});
  EXPECT_THAT(*store::UsageStore(state_).usage({}), IsEmpty());
  ASSERT_TRUE(usage_.flush());
  ASSERT_TRUE(usage_.flush());
  EXPECT_EQ(store::UsageStore(state_).usage({})->front().requests, 1);
}

TEST_F(UsageTest, WhatCannotBeWrittenIsWrittenLater) {
  ASSERT_TRUE(state_.with([](auto& database) { return database.execute("PRAGMA query_only=1"); }));
  usage_.note({.key_id = "k", .model = "a", .generated_tokens = 2});
  EXPECT_EQ(usage_.flush().error().code, ErrorCode::kUnavailable);
  usage_.note({.key_id = "k", .model = "a", .generated_tokens = 3});
  ASSERT_TRUE(state_.with([](auto& database) { return database.execute("PRAGMA query_only=0"); }));
  EXPECT_THAT(*usage_.report({}), ElementsAre(UsageRow{"k", "a", "2026-02-28", 2, 0, 0, 5}));
}

TEST_F(UsageTest, DaysAreChecked) {
  for (const char* day : {"today", "2026-13-01", "2026-02-30", "2026-2-1", "2026/02/01", "-026-02-01"}) {
    EXPECT_EQ(usage_.report({.from = day}).error().code, ErrorCode::kInvalidArgument) << day;
    EXPECT_EQ(usage_.report({.to = day}).error().code, ErrorCode::kInvalidArgument) << day;
  }
  EXPECT_TRUE(usage_.report({.from = "2024-02-29", .to = "2026-12-31"}));
}

}  // namespace
}  // namespace switchyard::tenants
