#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/fake_engine.h"
#include "models/manager.h"

// For tests only: a manager over fakes, driven step by step.

namespace switchyard::models::testing {

inline VersionRef ref(const std::string& model, const std::string& version = "1") { return {model, version}; }

/// What an acquire was answered.
struct Answer {
  int times = 0;
  std::optional<Error> error;
  Lease lease;
};

class ManagerTest : public ::testing::Test {
 public:
  ~ManagerTest() override {
    tickets_.clear();  // nobody waits any more
    answers_.clear();
    executor_.run_inline();
    manager_.reset();
    EXPECT_EQ(world_.wrongs(), 0);
  }

 protected:
  ManagerTest() {
    limits_.models_max = 1;
    limits_.memory_budget = ByteSize::gib(1);
    subscription_ = events_.subscribe([this](const telemetry::Event& event) { seen_.push_back(event); });
  }

  Manager& start(const std::vector<ModelDefinition>& models,
                 Manager::Preload preload = Manager::Preload::kNone) {
    manager_.emplace(
        Manager::Dependencies{
            .loader = loader_, .executor = executor_, .events = events_, .clock = clock_, .own_timer = false},
        limits_);
    EXPECT_TRUE(manager_->set_catalog(models, preload));
    executor_.run_all();  // the background inspections
    return *manager_;
  }

  /// An acquire whose answer and ticket are kept here.
  Answer& ask(const std::string& model, AcquireOptions options = {}) {
    answers_.push_back(std::make_unique<Answer>());
    Answer& answer = *answers_.back();
    tickets_.push_back(manager_->acquire(ref(model), options, [&answer](Result<Lease> result) {
      ++answer.times;
      if (result)
        answer.lease = std::move(*result);
      else
        answer.error = result.error();
    }));
    return answer;
  }

  Answer& ask_and_run(const std::string& model) {
    Answer& answer = ask(model);
    executor_.run_all();
    return answer;
  }

  void pass(Duration time) {
    clock_.advance(time);
    manager_->tick();
    executor_.run_all();
  }

  /// Uses it once, so that it is hot and idle.
  void use(const std::string& model) {
    ask_and_run(model).lease.release();
    executor_.run_all();
  }

  State state(const std::string& model) { return manager_->describe(model)->versions.back().state; }

  std::vector<std::string> moves_of(const std::string& model) const {
    std::vector<std::string> moves;
    for (const auto& event : seen_) {
      if (event.type == "state" && event.model == model) moves.push_back(event.text.at("to"));
    }
    return moves;
  }

  FakeWorld world_;
  FakeLoader loader_{world_};
  ManualExecutor executor_;
  telemetry::EventBus events_;
  FakeClock clock_;
  Limits limits_;
  std::vector<telemetry::Event> seen_;
  telemetry::EventBus::Subscription subscription_;
  std::optional<Manager> manager_;
  std::vector<std::unique_ptr<Answer>> answers_;
  std::vector<AcquireTicket> tickets_;
};

}  // namespace switchyard::models::testing
