// ab_simulation RUNS FOLDER: writes ab_simulation.json, ab_false_verdicts.svg and ab_power.svg there. The
// same numbers every time.

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "experiments/svg_plot.h"
#include "simulation.h"

namespace switchyard::ab_simulation {
namespace {

using experiments::Plot;

std::string or_null(std::int64_t count) { return count == 0 ? "null" : std::to_string(count); }

std::string share_json(std::int64_t found, std::int64_t runs) {
  const Limits limits = exact_limits(found, runs);
  return fmt::format(R"("found": {}, "share": {:.5f}, "share_95_percent": [{:.5f}, {:.5f}])", found,
                     static_cast<double>(found) / static_cast<double>(runs), limits.lower, limits.upper);
}

std::string when_json(const When& when, std::int64_t runs) {
  return fmt::format(R"({{{}, "observations_for_half": {}, "observations_for_80_percent": {}}})",
                     share_json(std::ssize(when), runs), or_null(observations_for(0.5, when, runs)),
                     or_null(observations_for(0.8, when, runs)));
}

std::string json_of(const Result& result) {
  const Scenario& scenario = result.scenario;
  return fmt::format(
      "    {{\"values\": \"{}\", \"effect\": {}, \"alpha\": {}, \"minimum_sample\": {}, \"most\": {}, "
      "\"runs\": {},\n     \"sequential\": {},\n     \"fixed_sample\": {{{}, "
      "\"observations_for_80_percent\": "
      "{}}},\n     \"fixed_sample_peeked\": {}}}",
      to_string(scenario.source), scenario.effect, scenario.alpha, scenario.minimum_sample, scenario.most,
      result.runs, when_json(result.sequential, result.runs),
      share_json(result.fixed_sample.back(), result.runs), or_null(fixed_sample_for(0.8, result)),
      when_json(result.peeked, result.runs));
}

/// Which share of the experiments had come to a verdict by then.
Plot::Series curve(std::string label, const Result& result, const When& when) {
  Plot::Series series{.label = std::move(label)};
  const auto runs = static_cast<double>(result.runs);
  std::size_t found = 0;
  for (auto x = static_cast<double>(result.scenario.minimum_sample);; x *= 1.02) {
    const double at = std::min(x, static_cast<double>(result.scenario.most));
    while (found < when.size() && static_cast<double>(when[found]) <= at) ++found;
    series.line.push_back({at, static_cast<double>(found) / runs});
    if (at < x) return series;
  }
}

/// The power of the z-test looked at once.
std::vector<Plot::Point> fixed_sample_curve(const Result& result) {
  std::vector<Plot::Point> points;
  for (std::size_t look = 0; look < result.fixed_sample.size(); look += 1 + look / 50) {
    points.push_back({static_cast<double>(result.scenario.minimum_sample) + static_cast<double>(look),
                      static_cast<double>(result.fixed_sample[look]) / static_cast<double>(result.runs)});
  }
  return points;
}

void print(const Result& result) {
  const auto line = [&](const char* method, std::int64_t found, std::int64_t for_half,
                        std::int64_t for_80_percent) {
    const Limits limits = exact_limits(found, result.runs);
    fmt::print("  {:<20} {:6.2f} % ({:.2f} to {:.2f})   50 % after {:>5}, 80 % after {:>5}\n", method,
               100.0 * static_cast<double>(found) / static_cast<double>(result.runs), 100 * limits.lower,
               100 * limits.upper, or_null(for_half), or_null(for_80_percent));
  };
  const auto line_of = [&](const char* method, const When& when) {
    line(method, std::ssize(when), observations_for(0.5, when, result.runs),
         observations_for(0.8, when, result.runs));
  };
  fmt::print("{}, effect {:+g}\n", to_string(result.scenario.source), result.scenario.effect);
  line_of("sequential", result.sequential);
  line("fixed sample", result.fixed_sample.back(), fixed_sample_for(0.5, result),
       fixed_sample_for(0.8, result));
  line_of("fixed sample, peeked", result.peeked);
}

bool write(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) fmt::print(stderr, "ab_simulation: {} cannot be written\n", path);
  return bool(file);
}

int run(std::int64_t runs, const std::string& folder) {
  Plot errors{
      .title = "No difference: how many experiments say there is one",
      .notes = {fmt::format("{} experiments of each kind, looked at after every pair of observations; "
                            "alpha 5 %",
                            runs)},
      .x_label = "observations of each arm",
      .y_label = "experiments with a (false) verdict",
      .x_axis = Plot::Axis::kLogarithmic,
      .y_percent = true,
      .marks = {{.y = 0.05, .label = "alpha"}}};
  Plot power{.title = "A true difference: how many experiments have found it",
             .notes = {fmt::format("{} experiments of each kind, looked at after every pair of observations; "
                                   "alpha 5 %",
                                   runs),
                       "Dashed: a z-test that is looked at once, after as many observations"},
             .x_label = "observations of each arm",
             .y_label = "experiments with a verdict",
             .x_axis = Plot::Axis::kLogarithmic,
             .y_percent = true};
  std::vector<std::string> results;
  const auto simulate = [&](const Scenario& scenario) {
    Result result = simulate_all(scenario, runs);
    print(result);
    results.push_back(json_of(result));
    return result;
  };
  for (const Source source : kSources) {
    // So few ones that a longer time tells more of it.
    const Result result = simulate({.source = source, .most = source == Source::kRare ? 20'000 : 5000});
    if (source == Source::kLatency)
      errors.series.push_back(curve("z-test, looked at every time", result, result.peeked));
    errors.series.push_back(curve(std::string(to_string(source)), result, result.sequential));
  }
  for (const Scenario& scenario : {Scenario{.source = Source::kLatency, .effect = -0.05},
                                   Scenario{.source = Source::kLatency, .effect = -0.1},
                                   Scenario{.source = Source::kLatency, .effect = -0.2},
                                   Scenario{.source = Source::kScore, .effect = 0.05},
                                   Scenario{.source = Source::kShare, .effect = 0.05},
                                   Scenario{.source = Source::kRare, .effect = 0.02}}) {
    const Result result = simulate(scenario);
    Plot::Series series = curve(fmt::format("{} {:+g} {}", to_string(scenario.source), 100 * scenario.effect,
                                            scenario.source == Source::kLatency ? "%" : "points"),
                                result, result.sequential);
    series.dashed = fixed_sample_curve(result);
    power.series.push_back(std::move(series));
  }
  std::string json = "{\n  \"program\": \"ab_simulation\",\n  \"results\": [\n";
  for (std::size_t i = 0; i < results.size(); ++i)
    json += results[i] + (i + 1 < results.size() ? ",\n" : "\n");
  json += "  ]\n}\n";
  const bool written = write(folder + "/ab_simulation.json", json) &&
                       write(folder + "/ab_false_verdicts.svg", svg_of(errors)) &&
                       write(folder + "/ab_power.svg", svg_of(power));
  return written ? 0 : 1;
}

}  // namespace
}  // namespace switchyard::ab_simulation

int main(int argc, char** argv) {
  std::int64_t runs = 0;
  if (argc == 3) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), runs);
  if (runs < 1) {
    fmt::print(stderr, "usage: ab_simulation RUNS FOLDER\n");
    return 2;
  }
  return switchyard::ab_simulation::run(runs, argv[2]);
}
