#include "experiments/experiment.h"

#include <gmock/gmock.h>

#include <cmath>

namespace switchyard::experiments {
namespace {

using ::testing::HasSubstr;

Definition good() { return {.id = "faster", .alias = "chat", .arms = {{"a@1", 50}, {"a@2", 50}}}; }

TEST(Definition, WhatIsWrongIsNamed) {
  EXPECT_TRUE(validate(good()));
  const auto expect = [](void (*change)(Definition&), const char* words) {
    Definition definition = good();
    change(definition);
    const Status status = validate(definition);
    ASSERT_FALSE(status) << words;
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(status.error().message, HasSubstr(words));
  };
  expect([](Definition& d) { d.id = ""; }, "'id'");
  expect([](Definition& d) { d.id = "a b"; }, "'id'");
  expect([](Definition& d) { d.alias = ""; }, "'alias'");
  expect([](Definition& d) { d.arms.pop_back(); }, "'variants'");
  expect([](Definition& d) { d.arms[1].version = "a@1"; }, "a@1 twice");
  expect([](Definition& d) { d.arms[1].weight = 40; }, "add up to 100, these add up to 90");
  expect([](Definition& d) { d.arms[1].weight = 0; }, "weight of a@2");
  expect([](Definition& d) { d.arms[1].weight = std::nan(""); }, "weight of a@2");
  expect([](Definition& d) { d.guardrails = {{.metric = Metric::kLatency}}; }, "the primary metric");
  expect([](Definition& d) { d.guardrails = {{}, {}}; }, "error_rate twice");
  expect([](Definition& d) { d.guardrails = {{.tolerance = -1}}; }, "tolerance");
  expect([](Definition& d) { d.minimum_sample = 1; }, "'minimum_sample'");
  expect([](Definition& d) { d.alpha = 0; }, "'alpha'");
  expect([](Definition& d) { d.alpha = std::nan(""); }, "'alpha'");
}

TEST(Definition, AlphaIsSharedOutAmongVariantsAndGuardrails) {
  Definition definition = good();
  EXPECT_DOUBLE_EQ(primary_level(definition).alpha, 0.05);
  definition.arms = {{"a@1", 40}, {"a@2", 30}, {"a@3", 30}};
  definition.guardrails = {{}, {.metric = Metric::kFirstToken}};
  EXPECT_DOUBLE_EQ(primary_level(definition).alpha, 0.025);
  EXPECT_DOUBLE_EQ(guardrail_level(definition).alpha, 0.0125);
}

TEST(Metric, NamesAreFoundAndNearOnesSuggested) {
  for (const MetricInfo& info : metric_table()) EXPECT_EQ(*parse_metric(info.name), info.metric);
  EXPECT_THAT(parse_metric("latencey").error().message, HasSubstr("did you mean 'latency'"));
  EXPECT_THAT(parse_segment_by("pth").error().message, HasSubstr("'path'"));
  for (const char* word : {"none", "path", "streaming", "header:X-Plan"})
    EXPECT_EQ(to_string(*parse_segment_by(word)), word);
  for (const char* word : {"header:", "header:a b", "header:a\n"})
    EXPECT_FALSE(parse_segment_by(word)) << word;
}

TEST(Metric, ValuesThatCannotBeAreNotCounted) {
  EXPECT_FALSE(compared(Metric::kLatency, -0.001)) << "a clock that went back";
  EXPECT_FALSE(compared(Metric::kLatency, std::nan("")));
  EXPECT_FALSE(compared(Metric::kConversion, 0.5));
  EXPECT_TRUE(std::isfinite(*compared(Metric::kLatency, 0)));
  EXPECT_NEAR(shown(Metric::kLatency, *compared(Metric::kLatency, 2.5)), 2.5, 1e-12);
  EXPECT_NEAR(shown_difference(Metric::kLatency, std::log(0.9)), -0.1, 1e-12);
}

}  // namespace
}  // namespace switchyard::experiments
