#include "models/budget.h"

#include <gtest/gtest.h>

#include <utility>

#include "models/fake_engine.h"

namespace switchyard::models {
namespace {

using testing::inspection_of;

const Budgets kRoomFor150 = {{"host", ByteSize::mib(150)}};

TEST(Budget, AReservationGivesBackItsBytesWhenItEnds) {
  Ledger ledger;
  MemoryReservation none;
  {
    auto held = ledger.reserve(hot_charge(inspection_of("a", 100)), kRoomFor150, none);
    ASSERT_TRUE(held);
    EXPECT_EQ(ledger.reserved("host"), ByteSize::mib(100));
    const MemoryReservation moved = std::move(*held);
    EXPECT_EQ(ledger.reserved("host"), ByteSize::mib(100));
  }
  EXPECT_EQ(ledger.reserved("host"), ByteSize());
}

TEST(Budget, WhatWouldPassTheBudgetIsRefusedAndChangesNothing) {
  Ledger ledger;
  MemoryReservation none;
  auto first = ledger.reserve(hot_charge(inspection_of("a", 100)), kRoomFor150, none);
  const auto second = ledger.reserve(hot_charge(inspection_of("b", 60)), kRoomFor150, none);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kDoesNotFit);
  EXPECT_EQ(ledger.reserved("host"), ByteSize::mib(100));
}

TEST(Budget, ParkedKeepsVocabularyAndPrivateWeightsButNoPagesOfTheHost) {
  auto inspection = inspection_of("a", 100);
  inspection.need.items[0].weights_private = ByteSize::mib(7);
  inspection.need.items.push_back({.device = "CUDA0",
                                   .weights_mapped = ByteSize::mib(9),
                                   .weights_private = {},
                                   .context = ByteSize::mib(3),
                                   .compute = {},
                                   .vocabulary = {},
                                   .prompt_cache = {}});
  Usage usage;
  usage.add(parked_charge(inspection));
  EXPECT_EQ(usage.total("host"), ByteSize::mib(25 + 7));
  EXPECT_EQ(usage.total("CUDA0"), ByteSize::mib(9));
}

TEST(Budget, SharedWeightsAreCountedOnceAndForAsLongAsAnySharerIsHot) {
  const auto inspection = inspection_of("same", 100);
  Usage usage;
  usage.add(hot_charge(inspection));
  usage.add(hot_charge(inspection));
  EXPECT_EQ(usage.total("host"), ByteSize::mib(125));
  usage.remove(hot_charge(inspection));
  usage.add(parked_charge(inspection));
  EXPECT_EQ(usage.total("host"), ByteSize::mib(100));
  usage.remove(hot_charge(inspection));
  EXPECT_EQ(usage.total("host"), ByteSize::mib(25));
}

TEST(Budget, AnEmptyKeySharesWithNobody) {
  Usage usage;
  usage.add(hot_charge(inspection_of("", 100)));
  usage.add(hot_charge(inspection_of("", 100)));
  EXPECT_EQ(usage.total("host"), ByteSize::mib(200));
  usage.remove(hot_charge(inspection_of("", 100)));
  EXPECT_EQ(usage.total("host"), ByteSize::mib(100));
}

}  // namespace
}  // namespace switchyard::models
