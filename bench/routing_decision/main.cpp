#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "traffic/alias_table.h"

// 10,000 aliases, each split over three versions.

namespace switchyard::traffic {
namespace {

constexpr int kAliases = 10'000;

std::string alias(int n) { return "tenant-" + std::to_string(n) + "/chat"; }

const AliasTable& table() {
  static const auto& filled = *[] {
    auto* const made = new AliasTable();  // lives as long as the process
    AliasTable::Positions positions;
    for (int n = 0; n < kAliases; ++n) {
      const std::string model = "model-" + std::to_string(n);
      auto split =
          make_split({{{model, "1"}, 90}, {{model, "2"}, 9}, {{model, "3"}, 1}}, "x-user-id", nullptr);
      positions[alias(n)] = {.to = {model, "1"}, .split = std::make_shared<const Split>(std::move(split))};
    }
    made->set(std::move(positions));
    return made;
  }();
  return filled;
}

/// What Switcher::resolve(name, subject) does, and what it is asked with.
void decide(benchmark::State& state) {
  std::vector<std::string> names, subjects;
  for (int n = 0; n < 4096; ++n) {
    names.push_back(alias(n * 7919 % kAliases));
    subjects.push_back("header:user-" + std::to_string(n));
  }
  std::size_t n = 0;
  for (auto _ : state) {
    const auto position = table().find(names[n]);
    models::VersionRef version = position->split->of(names[n], subjects[n]);
    benchmark::DoNotOptimize(version);
    n = (n + 1) % names.size();
  }
}
BENCHMARK(decide)->Threads(1)->Threads(2)->UseRealTime();

}  // namespace
}  // namespace switchyard::traffic

BENCHMARK_MAIN();
