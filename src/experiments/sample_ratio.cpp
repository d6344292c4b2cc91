#include "experiments/sample_ratio.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "experiments/log_beta.h"

namespace switchyard::experiments {
namespace {

/// How many observations' worth the prior is: splits that are off by a few per cent are what happens.
constexpr double kConcentration = 100;

}  // namespace

SampleRatio check_sample_ratio(std::span<const std::int64_t> counts, std::span<const double> weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  const auto all = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  double log_ratio = log_gamma(kConcentration) - log_gamma(kConcentration + all);
  for (std::size_t arm = 0; arm < counts.size(); ++arm) {
    const double share = weights[arm] / sum, prior = kConcentration * share;
    const auto count = static_cast<double>(counts[arm]);
    log_ratio += log_gamma(prior + count) - log_gamma(prior) - count * std::log(share);
  }
  const double p_value = std::min(1.0, std::exp(-log_ratio));
  return {.p_value = p_value, .mismatch = p_value < kMismatchAlpha};
}

}  // namespace switchyard::experiments
