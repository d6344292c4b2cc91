#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "models/fake_engine.h"
#include "models/lifecycle.h"
#include "models/manager.h"

namespace switchyard::models {
namespace {

using namespace std::chrono_literals;
using testing::FakeEngine;
using testing::FakeLoader;
using testing::FakeWorld;
using testing::inspection_of;
using testing::ManualExecutor;
using testing::model_called;

constexpr int kModels = 4;
constexpr std::uint32_t kModelsMax = 2;
const ByteSize kBudget = ByteSize::mib(260);

std::string name_of(int model) { return fmt::format("m{}", model); }

/// A manager, its world, and everybody who has asked it for something.
class History {
 public:
  History() {
    for (int i = 0; i < kModels; ++i) {
      // Two share their weights, the last one can never fit.
      world_.set_inspection(name_of(i),
                            inspection_of(i < 2 ? "shared" : name_of(i), i == kModels - 1 ? 400 : 100));
    }
    Limits limits;
    limits.models_max = kModelsMax;
    limits.memory_budget = kBudget;
    manager_.emplace(
        Manager::Dependencies{
            .loader = loader_, .executor = executor_, .events = events_, .clock = clock_, .own_timer = false},
        limits);
    set_catalog(kModels, 0);
  }
  ~History() {
    waits_.clear();
    executor_.run_inline();
    manager_.reset();
  }
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  void step(int operation, int model, int detail) {
    const VersionRef ref{name_of(model), "1"};
    const std::optional<Error> broken =
        detail % 2 == 0 ? std::optional(Error{ErrorCode::kInternal, "broken"}) : std::nullopt;
    switch (operation) {
      case 0:
      case 1: ask(ref); break;
      case 2:
      case 3:
        if (!waits_.empty()) end_one(static_cast<std::size_t>(detail) % waits_.size());
        break;
      case 4: (void)manager_->unload(ref); break;
      case 5: (void)manager_->park(ref); break;
      case 6: (void)manager_->load(ref); break;
      case 7: (void)manager_->pin(ref.model, detail % 3 == 0); break;
      case 8: set_catalog(kModels - detail % 2, detail % 3); break;
      case 9: world_.fail_load(ref.model, broken); break;
      case 10: world_.fail_inspection(ref.model, broken); break;
      case 12: (void)manager_->mark_broken(ref, {ErrorCode::kUnavailable, "its worker died"}); break;
      case 13:
        (void)(detail % 2 == 0 ? manager_->quarantine(ref, "it fails") : manager_->end_quarantine(ref));
        break;
      case 11:
        clock_.advance(std::chrono::milliseconds(detail * 50));
        manager_->tick();
        break;
      default: executor_.run_one();
    }
  }

  void check() {
    std::uint32_t loaded = 0;
    for (const ModelStatus& model : manager_->list()) {
      const VersionStatus& version = model.versions[0];
      if (counts_as_loaded(version.state)) ++loaded;
      if (version.quarantined) RC_ASSERT(version.waiting == 0U);
      if (version.leases > 0) RC_ASSERT(version.state == State::kHot || version.state == State::kDraining);
    }
    RC_ASSERT(loaded <= kModelsMax);
    RC_ASSERT(manager_->reserved() <= kBudget);
    RC_ASSERT(world_.wrongs() == 0);
    for (const auto& wait : waits_) RC_ASSERT(wait->answers <= 1);
  }

  /// Everybody goes, everything that can fail works again: nobody waits for ever.
  void settle() {
    for (int i = 0; i < kModels; ++i) {
      world_.fail_load(name_of(i), std::nullopt);
      world_.fail_inspection(name_of(i), std::nullopt);
      (void)manager_->pin(name_of(i), false);
      (void)manager_->end_quarantine({name_of(i), "1"});
    }
    for (int round = 0; round < 200; ++round) {
      executor_.run_all();
      for (const auto& wait : waits_) {
        if (wait->lease) end_use(*wait);
      }
      clock_.advance(1s);
      manager_->tick();
    }
    for (const auto& wait : waits_) RC_ASSERT(wait->answers == 1);
  }

 private:
  struct Wait {
    int answers = 0;
    Lease lease;
    AcquireTicket ticket;
    ~Wait() {
      if (lease) static_cast<FakeEngine&>(lease.engine()).end_use();
    }
  };

  void set_catalog(int count, int variant) {
    std::vector<ModelDefinition> models;
    for (int i = 0; i < count; ++i) models.push_back(model_called(name_of(i)));
    models[0].versions[0].args["ctx-size"] = std::to_string(variant);
    RC_ASSERT(manager_->set_catalog(models, Manager::Preload::kNone).has_value());
  }

  void ask(const VersionRef& ref) {
    auto wait = std::make_unique<Wait>();
    Wait* const raw = wait.get();
    waits_.push_back(std::move(wait));
    raw->ticket = manager_->acquire(ref, {}, [raw](Result<Lease> result) {
      ++raw->answers;
      if (!result) return;
      raw->lease = std::move(*result);
      static_cast<FakeEngine&>(raw->lease.engine()).begin_use();
    });
  }

  static void end_use(Wait& wait) {
    static_cast<FakeEngine&>(wait.lease.engine()).end_use();
    wait.lease.release();
  }

  /// The client goes: it ends its reply, or stops waiting.
  void end_one(std::size_t index) {
    const auto wait = std::move(waits_[index]);
    waits_.erase(waits_.begin() + static_cast<std::ptrdiff_t>(index));
    wait->ticket.cancel();
    if (wait->lease) end_use(*wait);
  }

  FakeWorld world_;
  FakeLoader loader_{world_};
  ManualExecutor executor_;
  telemetry::EventBus events_;
  FakeClock clock_;
  std::optional<Manager> manager_;
  std::vector<std::unique_ptr<Wait>> waits_;
};

TEST(ManagerProperty, NoHistoryBreaksWhatTheManagerPromises) {
  // A hundred, as is usual, leave rare orders out: an engine that breaks while it parks was one.
  setenv("RC_PARAMS", "max_success=1000", 0);
  const bool held = rc::check("invariants of manager.h", [] {
    using Step = std::tuple<int, int, int>;
    const auto steps = *rc::gen::container<std::vector<Step>>(
        rc::gen::tuple(rc::gen::inRange(0, 20), rc::gen::inRange(0, kModels), rc::gen::inRange(0, 100)));
    History history;
    for (const auto& [operation, model, detail] : steps) {
      history.step(operation, model, detail);
      history.check();
    }
    history.settle();
    history.check();
  });
  EXPECT_TRUE(held);
}

}  // namespace
}  // namespace switchyard::models
