#include "simulation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "experiments/confidence_sequence.h"

namespace switchyard::ab_simulation {
namespace {

using experiments::Moments;

constexpr double kSpread = 0.6;  // of the logarithms of times
constexpr double kZ = 1.959963984540054;

/// Uniform in (0, 1), the same on every platform, which std::normal_distribution is not.
double uniform(std::mt19937_64& random) { return (static_cast<double>(random() >> 11U) + 0.5) * 0x1p-53; }

/// Standard normal, by Box and Muller.
double normal(std::mt19937_64& random) {
  const double radius = std::sqrt(-2 * std::log(uniform(random)));
  return radius * std::cos(2 * std::acos(-1.0) * uniform(random));
}

double stars(std::mt19937_64& random, double effect) {
  const std::array<double, 5> shares{0.10 + effect, 0.05, 0.10, 0.30 - effect, 0.45};
  double left = uniform(random);
  for (std::size_t star = 0; star < shares.size(); ++star) {
    left -= shares.at(star);
    if (left < 0) return static_cast<double>(star + 1);
  }
  return 5;
}

/// As experiments::compared() gives them.
double draw(Source source, double effect, std::mt19937_64& random) {
  switch (source) {
    case Source::kLatency:
      return *experiments::compared(experiments::Metric::kLatency,
                                    (1 + effect) * std::exp(kSpread * normal(random)));
    case Source::kScore: return stars(random, effect);
    case Source::kShare: return uniform(random) < 0.1 + effect ? 1 : 0;
    case Source::kRare: break;
  }
  return uniform(random) < 0.01 + effect ? 1 : 0;
}

bool z_test_differs(const Moments& a, const Moments& b) {
  const double error =
      std::sqrt(a.variance() / static_cast<double>(a.count) + b.variance() / static_cast<double>(b.count));
  return std::abs(a.mean - b.mean) > kZ * error;
}

bool sequential_differs(const Scenario& scenario, const experiments::Level& level, const Moments& a,
                        const Moments& b) {
  if (info_of(metric_of(scenario.source)).scale == experiments::Scale::kShare)
    return excludes_equal_shares(a, b, level);
  const experiments::Interval interval = mean_difference(a, b, level);
  return interval.lower > 0 || interval.upper < 0;
}

double chance_of_at_most(std::int64_t most, std::int64_t runs, double share) {
  double sum = 0;
  for (std::int64_t k = 0; k <= most; ++k) {
    const auto n = static_cast<double>(runs), x = static_cast<double>(k);
    sum += std::exp(std::lgamma(n + 1) - std::lgamma(x + 1) - std::lgamma(n - x + 1) + x * std::log(share) +
                    (n - x) * std::log1p(-share));
  }
  return sum;
}

/// The share at which a function that falls with it passes `chance`.
template <typename Chance>
double share_at(double chance, Chance at_share) {
  double low = 0, high = 1;
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (at_share(middle) > chance ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

std::string_view to_string(Source source) {
  switch (source) {
    case Source::kLatency: return "latency (lognormal)";
    case Source::kScore: return "score (1 to 5)";
    case Source::kShare: return "share (10 %)";
    case Source::kRare: return "share (1 %)";
  }
  return "?";
}

experiments::Metric metric_of(Source source) {
  switch (source) {
    case Source::kLatency: return experiments::Metric::kLatency;
    case Source::kScore: return experiments::Metric::kScore;
    case Source::kShare: return experiments::Metric::kConversion;
    case Source::kRare: break;
  }
  return experiments::Metric::kErrorRate;
}

Outcome simulate(const Scenario& scenario, std::uint64_t run) {
  std::seed_seq seed{std::uint64_t{20240601}, static_cast<std::uint64_t>(scenario.source), run};
  std::mt19937_64 random(seed);
  experiments::Definition definition{.id = "simulated",
                                     .alias = "simulated",
                                     .arms = {{"control", 50}, {"variant", 50}},
                                     .metric = metric_of(scenario.source),
                                     .minimum_sample = scenario.minimum_sample,
                                     .alpha = scenario.alpha};
  const experiments::Level level = primary_level(definition);
  Outcome outcome;
  Moments control, variant;
  for (std::int64_t count = 1; count <= scenario.most; ++count) {
    control.add(draw(scenario.source, 0, random));
    variant.add(draw(scenario.source, scenario.effect, random));
    if (count < scenario.minimum_sample) continue;
    if (outcome.sequential == 0 && sequential_differs(scenario, level, control, variant))
      outcome.sequential = count;
    outcome.fixed_sample.push_back(z_test_differs(control, variant));
    if (outcome.peeked == 0 && outcome.fixed_sample.back()) outcome.peeked = count;
  }
  return outcome;
}

Result simulate_all(const Scenario& scenario, std::int64_t runs) {
  Result result{.scenario = scenario, .runs = runs};
  result.fixed_sample.resize(static_cast<std::size_t>(scenario.most - scenario.minimum_sample + 1));
  for (std::int64_t run = 0; run < runs; ++run) {
    const Outcome outcome = simulate(scenario, static_cast<std::uint64_t>(run));
    if (outcome.sequential > 0) result.sequential.push_back(outcome.sequential);
    if (outcome.peeked > 0) result.peeked.push_back(outcome.peeked);
    for (std::size_t look = 0; look < outcome.fixed_sample.size(); ++look)
      result.fixed_sample[look] += outcome.fixed_sample[look];
  }
  std::ranges::sort(result.sequential);
  std::ranges::sort(result.peeked);
  return result;
}

std::int64_t observations_for(double share, const When& when, std::int64_t runs) {
  const auto needed = static_cast<std::size_t>(std::ceil(share * static_cast<double>(runs)));
  return needed == 0 || needed > when.size() ? 0 : when[needed - 1];
}

std::int64_t fixed_sample_for(double share, const Result& result) {
  const auto enough = std::ranges::find_if(result.fixed_sample, [&](std::int64_t found) {
    return static_cast<double>(found) >= share * static_cast<double>(result.runs);
  });
  return enough == result.fixed_sample.end()
             ? 0
             : result.scenario.minimum_sample + (enough - result.fixed_sample.begin());
}

Limits exact_limits(std::int64_t found, std::int64_t runs) {
  Limits limits;
  if (found > 0) {
    limits.lower = share_at(0.975, [&](double share) { return chance_of_at_most(found - 1, runs, share); });
  }
  if (found < runs) {
    limits.upper = share_at(0.025, [&](double share) { return chance_of_at_most(found, runs, share); });
  }
  return limits;
}

}  // namespace switchyard::ab_simulation
