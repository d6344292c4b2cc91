#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/fake_engine.h"
#include "traffic/switcher.h"

// For tests only: a switcher over a manager with fake engines, driven step by step.

namespace switchyard::traffic::testing {

inline models::ModelDefinition model_with(const std::string& id, const std::vector<std::string>& versions) {
  models::ModelDefinition model;
  model.id = id;
  model.source = "config";
  for (const std::string& version : versions) {
    model.versions.push_back(
        {.model = id, .version = version, .reply_name = id, .args = {{"model", "/m/" + id + version}}});
  }
  return model;
}

/// Models a, b and m (versions 1, 2, 3), an alias chat -> a that is hot.
class SwitcherTest : public ::testing::Test {
 public:
  ~SwitcherTest() override {
    switcher_.reset();
    executor_.run_inline();
    manager_.reset();
    EXPECT_EQ(world_.wrongs(), 0);
  }

 protected:
  SwitcherTest() {
    limits_.memory_budget = ByteSize::gib(1);
    manager_.emplace(
        models::Manager::Dependencies{
            .loader = loader_, .executor = executor_, .events = events_, .clock = clock_, .own_timer = false},
        limits_);
    EXPECT_TRUE(manager_->set_catalog(catalog_, models::Manager::Preload::kNone));
    restart({{"chat", kA}});
    subscription_ = events_.subscribe([this](const telemetry::Event& event) { seen_.push_back(event); });
    EXPECT_TRUE(manager_->load(kA));
    executor_.run_all();
    seen_.clear();
  }

  /// As after a restart of the server: what is kept is read again.
  void restart(const std::vector<Alias>& aliases) {
    switcher_.reset();
    switcher_.emplace(Switcher::Dependencies{
        .manager = *manager_, .executor = executor_, .events = events_, .state = state_, .clock = clock_});
    EXPECT_TRUE(switcher_->define(aliases));
    executor_.run_all();
  }

  /// A reload without this model.
  void take_from_catalog(const std::string& id) {
    std::erase_if(catalog_, [&](const auto& model) { return model.id == id; });
    ASSERT_TRUE(manager_->set_catalog(catalog_, models::Manager::Preload::kNone));
    ASSERT_TRUE(switcher_->define({{"chat", kA}}));
  }

  void set_limits(std::uint32_t models_max) {
    limits_.models_max = models_max;
    manager_->set_limits(limits_);
  }

  /// A switch whose end is kept here, once for each time it was told.
  struct Told {
    int times = 0;
    SwitchReport report;
  };
  std::shared_ptr<Told> ask(SwitchRequest request) {
    auto told = std::make_shared<Told>();
    request.done = [told](const SwitchReport& report) {
      ++told->times;
      told->report = report;
    };
    switcher_->move(std::move(request));
    return told;
  }
  std::shared_ptr<Told> ask(const std::string& alias, const std::string& to, SwitchOptions options = {}) {
    return ask({.alias = alias, .to = to, .options = std::move(options)});
  }
  std::shared_ptr<Told> ask_and_run(const std::string& alias, const std::string& to,
                                    SwitchOptions options = {}) {
    auto told = ask(alias, to, std::move(options));
    executor_.run_all();
    return told;
  }
  std::shared_ptr<Told> roll_back(const std::string& alias) {
    auto told = ask({.alias = alias, .to = {}, .kind = Kind::kRollback});
    executor_.run_all();
    return told;
  }

  void pass(Duration time) {
    clock_.advance(time);
    manager_->tick();
    executor_.run_all();
  }
  models::State state(const models::VersionRef& ref) { return manager_->standing(ref)->state; }
  models::VersionRef means(const std::string& name) {
    return switcher_->resolve(name).value_or(models::VersionRef{});
  }
  std::vector<std::string> phases(const SwitchReport& report) {
    std::vector<std::string> names;
    for (const PhaseTime& phase : report.phases) names.emplace_back(to_string(phase.phase));
    return names;
  }
  std::vector<std::string> history(const std::string& name) {
    std::vector<std::string> lines;
    const auto history = switcher_->history(name, 100).value();
    for (const SwitchReport& report : history) {
      lines.push_back(std::string(to_string(report.kind)) + " " + report.from.to_string() + " " +
                      report.to.to_string() + " " + std::string(to_string(report.outcome)));
    }
    return lines;
  }

  const models::VersionRef kA{"a", "1"}, kB{"b", "1"}, kM1{"m", "1"}, kM2{"m", "2"}, kM3{"m", "3"};
  std::vector<models::ModelDefinition> catalog_ = {model_with("a", {"1"}), model_with("b", {"1"}),
                                                   model_with("m", {"1", "2", "3"})};
  models::testing::FakeWorld world_;
  models::testing::FakeLoader loader_{world_};
  models::testing::ManualExecutor executor_;
  telemetry::EventBus events_;
  FakeClock clock_;
  models::Limits limits_;
  store::StateDatabase state_;
  std::vector<telemetry::Event> seen_;
  telemetry::EventBus::Subscription subscription_;
  std::optional<models::Manager> manager_;
  std::optional<Switcher> switcher_;
};

}  // namespace switchyard::traffic::testing
