#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "models/fake_engine.h"
#include "traffic/switcher.h"

namespace switchyard::traffic {
namespace {

using models::VersionRef;

constexpr int kVersions = 4;

VersionRef version(int n) { return {"m" + std::to_string(n % kVersions), "1"}; }

/// A switcher and everybody who has asked it for something; what must hold is checked at each step.
class Story {
 public:
  Story() {
    models::Limits limits;
    limits.models_max = 2;
    limits.memory_budget = ByteSize::gib(1);
    manager_.emplace(
        models::Manager::Dependencies{
            .loader = loader_, .executor = executor_, .events = events_, .clock = clock_, .own_timer = false},
        limits);
    std::vector<models::ModelDefinition> catalog;
    for (int i = 0; i < kVersions; ++i) catalog.push_back(models::testing::model_called(version(i).model));
    RC_ASSERT(manager_->set_catalog(catalog, models::Manager::Preload::kNone).has_value());
    open();
    subscription_ = events_.subscribe([this](const telemetry::Event& event) {
      if (event.type == "state") states_[event.model] = event.text.at("to");
      if (event.type != "alias" || event.text.at("result") != "ok") return;
      hot_when_flipped_ = hot_when_flipped_ && states_[event.model] == "hot";
      ++flips_;
    });
  }
  ~Story() {
    leases_.clear();
    switcher_.reset();
    executor_.run_inline();
    manager_.reset();
  }
  Story(const Story&) = delete;
  Story& operator=(const Story&) = delete;

  void step(int what, int which, int detail) {
    const std::optional<Error> broken =
        detail % 2 == 0 ? std::optional(Error{ErrorCode::kInternal, "broken"}) : std::nullopt;
    SwitchOptions options;
    options.policy = detail % 3 == 0 ? Policy::kResourcePreserving : Policy::kAvailabilityPreserving;
    options.keep_old = static_cast<KeepOld>(detail % 3);
    options.force = detail % 5 == 0;
    options.drain_timeout = std::chrono::milliseconds(100 * (detail % 4));
    switch (what) {
      case 0:
      case 1: ask({.alias = "chat", .to = version(which).to_string(), .options = options}); break;
      case 2: ask({.alias = "chat", .to = {}, .options = options, .kind = Kind::kRollback}); break;
      case 3: switcher_->cancel("chat", [](const Status&) {}); break;
      case 4: world_.fail_load(version(which).model, broken); break;
      case 5: use("chat"); break;
      case 6:
        if (!leases_.empty()) leases_.erase(leases_.begin());
        break;
      case 7:
        clock_.advance(std::chrono::milliseconds(50 * detail));
        manager_->tick();
        break;
      case 8:
        if (detail == 0) open();
        break;
      default: executor_.run_one();
    }
  }

  /// Lets everything come to its end, and looks at what came of it.
  void check_end() {
    for (int i = 0; i < 100; ++i) {
      executor_.run_all();
      leases_.clear();
      clock_.advance(std::chrono::seconds(10));
      manager_->tick();
    }
    RC_ASSERT(hot_when_flipped_);
    std::set<std::int64_t> moved;
    for (const auto& call : calls_) {
      RC_ASSERT(call->times == 1);
      if (call->report.outcome == Outcome::kOk) moved.insert(call->report.id);
    }
    RC_ASSERT(routed_ == asked_routes_);
    // The history has every switch that was acknowledged, and no other that moved the alias.
    std::set<std::int64_t> recorded;
    std::optional<VersionRef> last;
    const auto history = switcher_->history("chat", 1000).value();
    for (const SwitchReport& line : history) {
      RC_ASSERT(line.outcome != Outcome::kRunning);
      if (line.outcome != Outcome::kOk && line.outcome != Outcome::kRolledBack) continue;
      recorded.insert(line.id);
      if (!last) last = line.to;
    }
    RC_ASSERT(recorded == moved);
    const VersionRef means = switcher_->resolve("chat").value();
    RC_ASSERT(means == last.value_or(version(0)));
    open();
    RC_ASSERT(switcher_->resolve("chat").value() == means);  // as kept
    RC_ASSERT(world_.wrongs() == 0);
  }

 private:
  struct Call {
    int times = 0;
    SwitchReport report;
  };

  /// Also as a restart: ends what is in progress and reads what is kept.
  void open() {
    switcher_.reset();
    switcher_.emplace(Switcher::Dependencies{
        .manager = *manager_, .executor = executor_, .events = events_, .state = state_, .clock = clock_});
    RC_ASSERT(switcher_->define({{"chat", version(0)}}).has_value());
  }
  void ask(SwitchRequest request) {
    calls_.push_back(std::make_shared<Call>());
    request.done = [call = calls_.back()](const SwitchReport& report) {
      ++call->times;
      call->report = report;
    };
    switcher_->move(std::move(request));
  }
  void use(const std::string& name) {
    ++asked_routes_;
    switcher_->route(name, "", [this](const Result<VersionRef>& ref) {
      ++routed_;
      if (!ref || states_[ref->model] != "hot") return;
      auto lease = manager_->acquire_blocking(*ref, {.make_hot = models::MakeHot::kNothing});
      if (lease) leases_.push_back(std::move(*lease));
    });
  }

  models::testing::FakeWorld world_;
  models::testing::FakeLoader loader_{world_};
  models::testing::ManualExecutor executor_;
  telemetry::EventBus events_;
  FakeClock clock_;
  store::StateDatabase state_;
  std::map<std::string, std::string> states_;
  std::vector<std::shared_ptr<Call>> calls_;
  int asked_routes_ = 0;
  int routed_ = 0;
  int flips_ = 0;
  bool hot_when_flipped_ = true;
  telemetry::EventBus::Subscription subscription_;
  std::optional<models::Manager> manager_;
  std::vector<models::Lease> leases_;
  std::optional<Switcher> switcher_;
};

TEST(SwitcherProperty, EveryCallerIsAnsweredOnceAndTheHistoryIsTrue) {
  const bool holds = rc::check("random switches, supersedes, cancels and failures", [] {
    const auto steps = *rc::gen::container<std::vector<std::tuple<int, int, int>>>(
        rc::gen::tuple(rc::gen::inRange(0, 14), rc::gen::inRange(0, kVersions), rc::gen::inRange(0, 6)));
    Story story;
    for (const auto& [what, which, detail] : steps) story.step(what, which, detail);
    story.check_end();
  });
  EXPECT_TRUE(holds);
}

}  // namespace
}  // namespace switchyard::traffic
