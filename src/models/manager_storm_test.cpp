#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "models/fake_engine.h"
#include "models/manager.h"

namespace switchyard::models {
namespace {

using namespace std::chrono_literals;
using testing::FakeEngine;
using testing::FakeLoader;
using testing::FakeWorld;
using testing::inspection_of;
using testing::model_called;

constexpr int kThreads = 32;
constexpr int kOperations = 300;
constexpr int kModels = 6;

std::string name_of(int model) { return fmt::format("m{}", model); }

std::vector<ModelDefinition> catalog(int variant) {
  std::vector<ModelDefinition> models;
  for (int i = 0; i < kModels; ++i) {
    if (i == kModels - 1 && variant % 3 == 1) continue;  // removed now and then
    models.push_back(model_called(name_of(i)));
    if (i == kModels - 2) models.back().versions[0].args["ctx-size"] = std::to_string(variant % 2);
  }
  return models;
}

/// One thread's random operations. Every acquire's answer is counted.
class Stormer {
 public:
  Stormer(Manager& manager, FakeWorld& world, unsigned seed)
      : manager_(manager), world_(world), random_(seed) {}

  void run() {
    for (int i = 0; i < kOperations; ++i) operation();
  }

 private:
  int below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }

  void use(Result<Lease> lease) {
    if (!lease) return;
    auto& engine = static_cast<FakeEngine&>(lease->engine());
    engine.begin_use();
    if (below(4) == 0) std::this_thread::yield();
    engine.end_use();
  }

  void operation() {
    const VersionRef ref{name_of(below(kModels)), "1"};
    switch (below(20)) {
      case 0: (void)manager_.unload(ref); break;
      case 1: (void)manager_.park(ref); break;
      case 2: (void)manager_.load(ref); break;
      case 3: (void)manager_.resume(ref); break;
      case 4: (void)manager_.pin(ref.model, false); break;
      case 5: EXPECT_LE(manager_.reserved(), ByteSize::mib(250)); break;
      case 6: (void)manager_.set_catalog(catalog(below(6)), Manager::Preload::kNone); break;
      case 7: {
        const bool fails = below(2) == 0;
        world_.fail_load(ref.model,
                         fails ? std::optional(Error{ErrorCode::kInternal, "broken"}) : std::nullopt);
        world_.fail_load(ref.model, std::nullopt);
        break;
      }
      case 8: (void)manager_.list(); break;
      case 9: {
        auto ticket = manager_.acquire(ref, {}, [](const Result<Lease>&) {});
        ticket.cancel();
        break;
      }
      case 10: {
        std::stop_source stop;
        stop.request_stop();
        use(manager_.acquire_blocking(ref, {}, stop.get_token()));
        break;
      }
      default: use(manager_.acquire_blocking(ref, {.timeout = 2s}));
    }
  }

  Manager& manager_;
  FakeWorld& world_;
  std::mt19937 random_;
};

TEST(ManagerStorm, ManyThreadsDoingEverythingAtOnceBreakNothing) {
  FakeWorld world;
  for (int i = 0; i < kModels; ++i) {
    world.set_inspection(name_of(i), inspection_of(i < 2 ? "shared" : name_of(i), 100));
  }
  FakeLoader loader(world);
  telemetry::EventBus events;
  std::atomic<int> told = 0;
  const auto subscription = events.subscribe([&](const telemetry::Event&) { ++told; });
  {
    ThreadPool pool("storm", 16);
    Limits limits;
    limits.models_max = 2;
    limits.memory_budget = ByteSize::mib(250);
    limits.max_wait = 1ms;
    limits.min_residency = 0ms;
    limits.retry_backoff_first = 1ms;
    limits.retry_backoff_most = 2ms;
    Manager manager({.loader = loader, .executor = pool, .events = events}, limits);
    ASSERT_TRUE(manager.set_catalog(catalog(0), Manager::Preload::kNone));
    std::vector<std::jthread> threads;
    for (unsigned seed = 0; seed < kThreads; ++seed) {
      threads.emplace_back([&, seed] { Stormer(manager, world, seed).run(); });
    }
    threads.clear();
    manager.drain_all(10s);
  }
  EXPECT_EQ(world.wrongs(), 0);
  for (int i = 0; i < kModels; ++i) EXPECT_EQ(world.alive(name_of(i)), 0) << name_of(i);
  EXPECT_GT(told, 0);
}

}  // namespace
}  // namespace switchyard::models
