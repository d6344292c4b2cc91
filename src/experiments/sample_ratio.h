#pragma once

#include <cstdint>
#include <span>

namespace switchyard::experiments {

/// Whether requests were shared out as the weights say. If not, something upstream loses or sends some of
/// them (a variant that fails early, a cache, a retry), and no comparison of the variants can be trusted.
struct SampleRatio {
  /// Small where the counts contradict the weights. Valid at all times: the chance that it is ever below x,
  /// while the weights hold, is x at most.
  double p_value = 1;
  bool mismatch = false;  ///< p_value is below kMismatchAlpha
};
inline constexpr double kMismatchAlpha = 0.001;

/// A sequential test of multinomial counts against given weights (of any sum): the likelihood under a
/// Dirichlet prior around the weights against that under the weights, a martingale while they hold.
/// Source: M. Lindon, A. Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022,
/// arXiv:2011.03567. Pure. Expects as many counts as weights, weights above 0.
[[nodiscard]] SampleRatio check_sample_ratio(std::span<const std::int64_t> counts,
                                             std::span<const double> weights);

}  // namespace switchyard::experiments
