#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "experiments/experiment.h"

// Experiments whose truth is known: two arms, the values drawn by a seeded generator, and three ways to come
// to a verdict beside each other.

namespace switchyard::ab_simulation {

/// What one arm's values are.
enum class Source : std::uint8_t {
  kLatency,  ///< lognormal, as times of replies are: the logarithm has a standard deviation of 0.6
  kScore,    ///< 1 to 5 stars, most of them 4 and 5
  kShare,    ///< 0 or 1, one in ten a 1
  kRare,     ///< 0 or 1, one in a hundred a 1
};
inline constexpr Source kSources[] = {Source::kLatency, Source::kScore, Source::kShare, Source::kRare};
[[nodiscard]] std::string_view to_string(Source source);
[[nodiscard]] experiments::Metric metric_of(Source source);

struct Scenario {
  Source source = Source::kLatency;
  /// By how much the variant's values differ: times are multiplied by 1 + effect, shares (of ones; of
  /// one-star scores) are increased by it.
  double effect = 0;
  double alpha = 0.05;
  std::int64_t minimum_sample = 100;  ///< of each arm
  std::int64_t most = 5000;           ///< of each arm; then it is over
};

/// What became of one experiment: the number of observations of each arm at which a method said "different",
/// or 0 where it never did.
struct Outcome {
  std::int64_t sequential = 0;  ///< this program's, looked at after every pair of observations
  std::int64_t peeked = 0;      ///< a z-test for a fixed sample, looked at after every pair
  /// What that z-test says, looked at once, after that many pairs (the minimum sample first).
  std::vector<bool> fixed_sample = {};
};

/// Experiment number `run` of a scenario: the same for the same numbers.
[[nodiscard]] Outcome simulate(const Scenario& scenario, std::uint64_t run);

/// When experiments came to a verdict, ascending; those that never did are not in it.
using When = std::vector<std::int64_t>;

struct Result {
  Scenario scenario;
  std::int64_t runs = 0;
  When sequential = {}, peeked = {};
  /// In how many the z-test, looked at once, says "different" after that many pairs, as in Outcome.
  std::vector<std::int64_t> fixed_sample = {};
};
/// The number of observations by which this share of all experiments had a verdict; 0: never.
[[nodiscard]] std::int64_t observations_for(double share, const When& when, std::int64_t runs);
/// The number of observations with which the z-test says "different" in this share of all; 0: more than most.
[[nodiscard]] std::int64_t fixed_sample_for(double share, const Result& result);

[[nodiscard]] Result simulate_all(const Scenario& scenario, std::int64_t runs);

/// Limits of a share with a confidence of 95 %, exact at small numbers, too. Source: C. Clopper, E. S.
/// Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial", Biometrika 26
/// (1934).
struct Limits {
  double lower = 0, upper = 1;
};
[[nodiscard]] Limits exact_limits(std::int64_t found, std::int64_t runs);

}  // namespace switchyard::ab_simulation
