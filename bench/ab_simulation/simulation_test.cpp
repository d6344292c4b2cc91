#include "simulation.h"

#include <gtest/gtest.h>

namespace switchyard::ab_simulation {
namespace {

/// The small version of what docs/experiments.md reports: 200 experiments of each kind without a difference,
/// looked at after every observation, with fixed seeds.
TEST(Simulation, WithoutADifferenceFewExperimentsFindOne) {
  for (const Source source : kSources) {
    const Result result = simulate_all({.source = source, .most = 1000}, 200);
    EXPECT_LE(result.sequential.size(), 10U) << to_string(source) << ": of 200, at 0.05";
  }
}

TEST(Simulation, PeekingAtAFixedSampleTestFindsManyThatAreNotThere) {
  const Result result = simulate_all({.source = Source::kLatency, .most = 1000}, 200);
  EXPECT_GT(result.peeked.size(), 25U) << "of 200, at 0.05; else the simulation cannot tell a bad method";
}

TEST(Simulation, ATrueDifferenceIsFound) {
  for (const auto& [source, effect] : {std::pair{Source::kLatency, -0.15}, {Source::kShare, 0.1}}) {
    const Result result = simulate_all({.source = source, .effect = effect, .most = 2000}, 100);
    EXPECT_GE(result.sequential.size(), 95U) << to_string(source);
    EXPECT_LT(observations_for(0.5, result.sequential, result.runs), 1000);
    EXPECT_LT(fixed_sample_for(0.8, result), observations_for(0.8, result.sequential, result.runs))
        << "looking at any time has a price";
  }
}

TEST(Simulation, LimitsAreThoseOfTheTables) {
  const Limits limits = exact_limits(5, 100);
  EXPECT_NEAR(limits.lower, 0.0164, 0.0001);
  EXPECT_NEAR(limits.upper, 0.1128, 0.0001);
  EXPECT_EQ(exact_limits(0, 100).lower, 0);
  EXPECT_NEAR(exact_limits(0, 100).upper, 0.0362, 0.0001);
}

}  // namespace
}  // namespace switchyard::ab_simulation
