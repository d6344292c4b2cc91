#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "models/fake_engine.h"
#include "traffic/switcher.h"

namespace switchyard::traffic {
namespace {

using models::VersionRef;
using models::testing::FakeEngine;

constexpr int kThreads = 16;
constexpr int kOperations = 200;
constexpr int kVersions = 4;

VersionRef version(int n) { return {"m" + std::to_string(n % kVersions), "1"}; }

/// Many threads over two aliases with real threads underneath: what ThreadSanitizer is to see.
class Storm {
 public:
  Storm() {
    models::Limits limits;
    limits.models_max = 3;
    limits.memory_budget = ByteSize::gib(1);
    limits.max_wait = std::chrono::milliseconds(1);
    manager_.emplace(
        models::Manager::Dependencies{.loader = loader_, .executor = executor_, .events = events_}, limits);
    std::vector<models::ModelDefinition> catalog;
    for (int i = 0; i < kVersions; ++i) catalog.push_back(models::testing::model_called(version(i).model));
    EXPECT_TRUE(manager_->set_catalog(catalog, models::Manager::Preload::kNone));
    switcher_.emplace(Switcher::Dependencies{
        .manager = *manager_, .executor = executor_, .events = events_, .state = state_});
    define();
  }

  void run() {
    std::vector<std::jthread> threads;
    for (unsigned seed = 0; seed < kThreads; ++seed) {
      threads.emplace_back([this, seed] { client(seed); });
    }
    threads.clear();
    switcher_.reset();  // ends what is still going on
    manager_.reset();
    EXPECT_EQ(told_, asked_);
    EXPECT_EQ(world_.wrongs(), 0);
  }

 private:
  void define() { EXPECT_TRUE(switcher_->define({{"chat", version(0)}, {"code", version(1)}})); }

  void client(unsigned seed) {
    std::mt19937 random(seed);
    const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
    for (int i = 0; i < kOperations; ++i) {
      const std::string alias = below(2) == 0 ? "chat" : "code";
      SwitchOptions options;
      options.policy = below(3) == 0 ? Policy::kResourcePreserving : Policy::kAvailabilityPreserving;
      options.keep_old = static_cast<KeepOld>(below(3));
      options.force = below(4) == 0;
      options.drain_timeout = std::chrono::milliseconds(below(3));
      switch (below(10)) {
        case 0:
        case 1:
          move({.alias = alias, .to = version(below(kVersions)).to_string(), .options = options});
          break;
        case 2: move({.alias = alias, .to = {}, .options = options, .kind = Kind::kRollback}); break;
        case 3: switcher_->cancel(alias, [](const Status&) {}); break;
        case 4: (void)switcher_->describe(alias); break;
        case 5: (void)switcher_->history(alias, 5); break;
        case 6:
          world_.fail_load(
              version(below(kVersions)).model,
              below(2) == 0 ? std::optional(Error{ErrorCode::kInternal, "broken"}) : std::nullopt);
          break;
        case 7:
          if (below(10) == 0) define();
          break;
        default: use(alias);
      }
    }
  }

  void move(SwitchRequest request) {
    ++asked_;
    request.done = [this](const SwitchReport&) { ++told_; };
    switcher_->move(std::move(request));
  }

  void use(const std::string& alias) {
    ++asked_;
    switcher_->route(alias, "", [this](const Result<VersionRef>& ref) {
      ++told_;
      if (!ref) return;
      const auto lease = manager_->acquire_blocking(*ref, {.make_hot = models::MakeHot::kNothing});
      if (!lease) return;
      auto& engine = static_cast<FakeEngine&>(lease->engine());
      engine.begin_use();
      std::this_thread::yield();
      engine.end_use();
    });
  }

  std::atomic<int> asked_ = 0, told_ = 0;
  models::testing::FakeWorld world_;
  models::testing::FakeLoader loader_{world_};
  ThreadPool executor_{"storm", 16};
  telemetry::EventBus events_;
  store::StateDatabase state_;
  std::optional<models::Manager> manager_;
  std::optional<Switcher> switcher_;
};

TEST(SwitcherStorm, EverybodyIsAnswered) { Storm().run(); }

}  // namespace
}  // namespace switchyard::traffic
