#include "engine/isolated.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard::engine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Inspection of_300_mib() {
  Inspection inspection;
  inspection.weights_key = "/m/a.gguf;1";
  inspection.need.items = {{.device = "host",
                            .weights_mapped = ByteSize::mib(200),
                            .context = ByteSize::mib(60),
                            .vocabulary = ByteSize::mib(40)},
                           {.device = "CUDA0", .weights_private = ByteSize::gib(1)}};
  return inspection;
}

ModelSpec spec(ByteSize memory = {}) {
  return {.model = "a",
          .version = "1",
          .reply_name = "a",
          .args = {},
          .isolation = Isolation::kProcess,
          .worker = {.memory = memory}};
}

TEST(Isolated, TheProcessItselfIsPartOfTheNeedOnTheHost) {
  const auto isolated = in_worker(of_300_mib(), spec());
  ASSERT_TRUE(isolated);
  EXPECT_EQ(isolated->need.items[0].total(), ByteSize::mib(300) + kWorkerBase);
  EXPECT_EQ(isolated->need.items[1].total(), ByteSize::gib(1) + kWorkerOnDevice);
}

TEST(Isolated, WeightsAreSharedWithNobodyAndKnownToLlamaAsBefore) {
  ModelSpec other = spec();
  other.version = "2";
  const auto one = in_worker(of_300_mib(), spec());
  const auto two = in_worker(of_300_mib(), other);
  EXPECT_NE(one->weights_key, two->weights_key);
  EXPECT_NE(one->weights_key, of_300_mib().weights_key);
  EXPECT_EQ(plain_weights_key(one->weights_key), "/m/a.gguf;1");
  EXPECT_EQ(plain_weights_key("/m/a.gguf;1"), "/m/a.gguf;1");
}

TEST(Isolated, WhatIsLargerThanItsWorkerMayBeIsRefusedWithTheFigures) {
  EXPECT_TRUE(in_worker(of_300_mib(), spec(ByteSize::mib(100) + kWorkerBase)))
      << "the mapped file is not its own";
  const auto refused = in_worker(of_300_mib(), spec(ByteSize::mib(99)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("108.0 MiB"), HasSubstr("99.0 MiB"), HasSubstr("worker_memory")));
}

TEST(Isolated, UnsetSizesAreChosenWithinWhatTheWorkerMayHave) {
  const InspectOptions budget{.host_budget = ByteSize::gib(8)};
  const auto chosen = [&](ByteSize memory, ByteSize file) {
    return bounds_in_worker(budget, {.memory = memory}, file).host_budget + kWorkerBase;
  };
  EXPECT_EQ(chosen({}, ByteSize::gib(1)), ByteSize::gib(8));
  EXPECT_EQ(chosen(ByteSize::gib(1), ByteSize::gib(2)), ByteSize::gib(3));
  EXPECT_EQ(chosen(ByteSize::gib(30), ByteSize::gib(2)), ByteSize::gib(8));
  EXPECT_GT(bounds_in_worker({.host_budget = ByteSize::mib(1)}, {}, {}).host_budget, ByteSize());
  EXPECT_EQ(bounds_in_worker(budget, {}, {}).beside_on_device, kWorkerOnDevice);
}

}  // namespace
}  // namespace switchyard::engine
