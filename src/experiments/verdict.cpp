#include "experiments/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace switchyard::experiments {
namespace {

/// The tolerance on the scale of compared values.
double compared_tolerance(Metric metric, double tolerance) {
  return info_of(metric).scale == Scale::kLogarithm ? std::log1p(tolerance) : tolerance;
}

Side side_of(const Interval& interval, Better better, double tolerance) {
  const bool higher = interval.lower > tolerance, lower = interval.upper < -tolerance;
  if (!higher && !lower) return Side::kUnknown;
  return higher == (better == Better::kHigher) ? Side::kBetter : Side::kWorse;
}

std::string sentence(const Definition& definition, std::size_t arm, const Comparison& comparison) {
  const MetricInfo& info = info_of(comparison.metric);
  const double difference = shown_difference(comparison.metric, comparison.interval.estimate);
  const bool plain = info.scale == Scale::kPlain;
  return fmt::format("{}: the {} is {} than {}'s, by {:+.3g}{} ({} observations of each arm or more)",
                     definition.arms[arm].version, info.what,
                     comparison.side == Side::kBetter ? "better" : "worse", definition.arms[0].version,
                     plain ? difference : 100 * difference,
                     plain                             ? ""
                     : info.scale == Scale::kLogarithm ? " %"
                                                       : " percentage points",
                     comparison.observations);
}

bool harms(const VariantVerdict& variant) {
  return std::ranges::count(variant.guardrails, Side::kWorse, &Comparison::side) > 0;
}

VariantVerdict judge(const Definition& definition, std::span<const ArmNumbers> arms, std::size_t arm) {
  VariantVerdict verdict{.arm = arm};
  verdict.primary = compare(definition.metric, definition.better, 0, arms[0], arms[arm],
                            primary_level(definition), definition.minimum_sample);
  for (const Guardrail& guardrail : definition.guardrails)
    verdict.guardrails.push_back(compare_guardrail(definition, guardrail, arms[0], arms[arm]));
  if (harms(verdict) || verdict.primary.side == Side::kWorse) {
    verdict.decision = Decision::kRollBack;
  } else if (verdict.primary.side == Side::kBetter) {
    verdict.decision = Decision::kPromote;
  }
  return verdict;
}

void explain(const Definition& definition, const VariantVerdict& variant, Verdict& verdict) {
  for (const Comparison& guardrail : variant.guardrails) {
    if (guardrail.side == Side::kWorse)
      verdict.reasons.push_back("guardrail: " + sentence(definition, variant.arm, guardrail));
  }
  if (variant.primary.side != Side::kUnknown) {
    verdict.reasons.push_back(sentence(definition, variant.arm, variant.primary));
  } else if (!variant.primary.enough) {
    verdict.reasons.push_back(fmt::format(
        "{}: {} observations of the arm that has fewer, of the {} that are the least to decide by",
        definition.arms[variant.arm].version, variant.primary.observations, definition.minimum_sample));
  } else {
    verdict.reasons.push_back(fmt::format("{}: no difference in {} is proven yet",
                                          definition.arms[variant.arm].version,
                                          info_of(definition.metric).name));
  }
}

/// How good the primary metric has become, the more the better.
double gain(const Definition& definition, const VariantVerdict& variant) {
  const double estimate = variant.primary.interval.estimate;
  return definition.better == Better::kHigher ? estimate : -estimate;
}

SampleRatio ratio_of(const Definition& definition, std::span<const ArmNumbers> arms) {
  std::vector<std::int64_t> counts;
  std::vector<double> weights;
  for (std::size_t arm = 0; arm < arms.size(); ++arm) {
    counts.push_back(arms[arm].assigned);
    weights.push_back(definition.arms[arm].weight);
  }
  return check_sample_ratio(counts, weights);
}

}  // namespace

std::string_view to_string(Decision decision) {
  switch (decision) {
    case Decision::kInconclusive: return "inconclusive";
    case Decision::kPromote: return "promote";
    case Decision::kRollBack: return "roll_back";
  }
  return "?";
}

std::string_view to_string(Side side) {
  switch (side) {
    case Side::kUnknown: return "unknown";
    case Side::kBetter: return "better";
    case Side::kWorse: return "worse";
  }
  return "?";
}

Comparison compare(Metric metric, Better better, double tolerance, const ArmNumbers& control,
                   const ArmNumbers& variant, const Level& level, std::int64_t minimum_sample) {
  const Moments &before = control.of(metric), &after = variant.of(metric);
  const bool exact = info_of(metric).scale == Scale::kShare;
  Comparison comparison{
      .metric = metric,
      .interval = exact ? share_difference(before, after, level) : mean_difference(before, after, level),
      .alpha = level.alpha,
      .observations = std::min(before.count, after.count)};
  comparison.enough = comparison.observations >= minimum_sample;
  if (comparison.enough)
    comparison.side = side_of(comparison.interval, better, compared_tolerance(metric, tolerance));
  return comparison;
}

Comparison compare_guardrail(const Definition& definition, const Guardrail& guardrail,
                             const ArmNumbers& control, const ArmNumbers& variant) {
  const MetricInfo& info = info_of(guardrail.metric);
  return compare(guardrail.metric, info.better, guardrail.tolerance, control, variant,
                 guardrail_level(definition), info.scale == Scale::kShare ? 1 : definition.minimum_sample);
}

Verdict decide(const Definition& definition, std::span<const ArmNumbers> arms) {
  Verdict verdict{.ratio = ratio_of(definition, arms)};
  for (std::size_t arm = 1; arm < arms.size(); ++arm) {
    verdict.variants.push_back(judge(definition, arms, arm));
    explain(definition, verdict.variants.back(), verdict);
  }
  if (verdict.ratio.mismatch) {
    verdict.reasons.insert(
        verdict.reasons.begin(),
        fmt::format("the requests are not shared out as the weights say (p = {:.2g}): nothing is promoted "
                    "before that is explained",
                    verdict.ratio.p_value));
    // Clients of a variant that fails try again, and turn the split: going back is safe all the same.
    if (std::ranges::all_of(verdict.variants, harms)) verdict.decision = Decision::kRollBack;
    return verdict;
  }
  const VariantVerdict* best = nullptr;
  for (const VariantVerdict& variant : verdict.variants) {
    if (variant.decision != Decision::kPromote) continue;
    if (best == nullptr || gain(definition, variant) > gain(definition, *best)) best = &variant;
  }
  if (best != nullptr) {
    verdict.decision = Decision::kPromote;
    verdict.arm = best->arm;
  } else if (std::ranges::all_of(verdict.variants, [](const VariantVerdict& variant) {
               return variant.decision == Decision::kRollBack;
             })) {
    verdict.decision = Decision::kRollBack;
  }
  return verdict;
}

}  // namespace switchyard::experiments
