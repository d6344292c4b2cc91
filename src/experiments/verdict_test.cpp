#include "experiments/verdict.h"

#include <gmock/gmock.h>

#include <cmath>

namespace switchyard::experiments {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

Definition definition_of(std::size_t variants = 1) {
  Definition definition{.id = "x", .alias = "chat", .arms = {{"a@1", 50}}};
  for (std::size_t i = 0; i < variants; ++i)
    definition.arms.push_back({"a@" + std::to_string(i + 2), 50.0 / static_cast<double>(variants)});
  return definition;
}

/// `count` replies whose times are around `seconds`, of which `failed` failed as well.
ArmNumbers arm(int count, double seconds, int failed = 0) {
  ArmNumbers numbers{.assigned = count, .requests = count};
  for (int i = 0; i < count; ++i) {
    numbers.metrics[0].add(std::log(seconds) + (i % 2 ? 0.3 : -0.3));
    numbers.metrics[3].add(i < failed ? 1 : 0);
  }
  return numbers;
}

TEST(Verdict, NothingIsDecidedBeforeTheMinimumSample) {
  const std::vector<ArmNumbers> arms{arm(99, 1), arm(99, 0.2)};
  const Verdict verdict = decide(definition_of(), arms);
  EXPECT_EQ(verdict.decision, Decision::kInconclusive);
  EXPECT_THAT(verdict.reasons, Contains(HasSubstr("99 observations")));
  EXPECT_EQ(decide(definition_of(), std::vector{arm(100, 1), arm(100, 0.2)}).decision, Decision::kPromote);
}

TEST(Verdict, FasterIsPromotedSlowerRolledBackTheSameNeither) {
  EXPECT_EQ(decide(definition_of(), std::vector{arm(300, 1), arm(300, 1)}).decision, Decision::kInconclusive);
  const Verdict faster = decide(definition_of(), std::vector{arm(300, 1), arm(300, 0.8)});
  EXPECT_EQ(faster.decision, Decision::kPromote);
  EXPECT_EQ(faster.arm, 1U);
  EXPECT_THAT(faster.reasons,
              Contains(HasSubstr("a@2: the time of a whole reply is better than a@1's, by -20 %")));
  const Verdict slower = decide(definition_of(), std::vector{arm(300, 1), arm(300, 1.3)});
  EXPECT_EQ(slower.decision, Decision::kRollBack);
  EXPECT_EQ(slower.arm, 0U) << "the control";
}

TEST(Verdict, TheDirectionIsTheDefinitions) {
  Definition definition = definition_of();
  definition.better = Better::kHigher;
  EXPECT_EQ(decide(definition, std::vector{arm(300, 1), arm(300, 1.3)}).decision, Decision::kPromote);
}

TEST(Verdict, AGuardrailBeatsAGain) {
  Definition definition = definition_of();
  definition.guardrails = {{.metric = Metric::kErrorRate}};
  const Verdict verdict = decide(definition, std::vector{arm(300, 1), arm(300, 0.5, 60)});
  EXPECT_EQ(verdict.decision, Decision::kRollBack);
  EXPECT_THAT(verdict.reasons, Contains(HasSubstr("guardrail: a@2: the share of failed requests is worse")));
  definition.guardrails[0].tolerance = 0.3;
  EXPECT_EQ(decide(definition, std::vector{arm(300, 1), arm(300, 0.5, 60)}).decision, Decision::kPromote);
}

TEST(Verdict, AGuardrailOfFailuresDoesNotWaitForTheMinimumSample) {
  Definition definition = definition_of();
  definition.guardrails = {{.metric = Metric::kErrorRate}};
  EXPECT_EQ(decide(definition, std::vector{arm(20, 1), arm(20, 1, 20)}).decision, Decision::kRollBack);
}

TEST(Verdict, WhatIsNotSharedOutByTheWeightsDecidesNothing) {
  const Verdict verdict = decide(definition_of(), std::vector{arm(500, 1), arm(250, 0.5)});
  EXPECT_TRUE(verdict.ratio.mismatch);
  EXPECT_EQ(verdict.decision, Decision::kInconclusive);
  EXPECT_THAT(verdict.reasons.front(), HasSubstr("not shared out"));
}

TEST(Verdict, WhatBreaksAGuardrailIsRolledBackWhateverTheSplit) {
  Definition definition = definition_of();
  definition.guardrails = {{.metric = Metric::kErrorRate}};
  const Verdict verdict = decide(definition, std::vector{arm(250, 1), arm(500, 1, 400)});
  EXPECT_TRUE(verdict.ratio.mismatch);
  EXPECT_EQ(verdict.decision, Decision::kRollBack);
  EXPECT_EQ(decide(definition, std::vector{arm(250, 1), arm(500, 3)}).decision, Decision::kInconclusive);
}

TEST(Verdict, OfSeveralTheBestIsPromotedAndOneBadOneEndsNothing) {
  Definition definition = definition_of(3);
  const std::vector<ArmNumbers> arms{arm(1500, 1), arm(500, 0.8), arm(500, 0.6), arm(500, 1.5)};
  const Verdict verdict = decide(definition, arms);
  EXPECT_EQ(verdict.decision, Decision::kPromote);
  EXPECT_EQ(verdict.arm, 2U);
  EXPECT_EQ(verdict.variants[2].decision, Decision::kRollBack);
  EXPECT_EQ(decide(definition, std::vector{arm(1500, 1), arm(500, 1), arm(500, 1), arm(500, 1.5)}).decision,
            Decision::kInconclusive);
}

}  // namespace
}  // namespace switchyard::experiments
