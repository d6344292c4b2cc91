#include "alerts/monitor.h"

#include <gtest/gtest.h>

namespace switchyard::alerts {
namespace {

using namespace std::chrono_literals;

class MonitorTest : public ::testing::Test {
 protected:
  void pass(Duration time) {
    clock_.advance(time);
    monitor_.evaluate();
  }

  FakeClock clock_;
  telemetry::EventBus events_;
  std::vector<std::string> told_;     ///< by the event bus
  std::vector<std::string> noticed_;  ///< by whoever is notified
  double memory_ = 0.5;
  telemetry::EventBus::Subscription subscription_ = events_.subscribe([this](const telemetry::Event& event) {
    if (event.type == "alert")
      told_.push_back(event.model + " " + event.text.at("rule") + " " + event.text.at("state"));
  });
  const TimePoint start_ = clock_.now();
  Monitor monitor_{{.events = events_,
                    .gauges = [this] { return Gauges{.memory_used = memory_, .budget_reserved = 0.1}; },
                    .notify =
                        [this](const Notice& notice) {
                          noticed_.push_back(std::string(info_of(notice.alert.rule).name) + " " +
                                             std::string(to_string(notice.alert.phase)));
                        },
                    .clock = clock_,
                    .wall_clock = [this] { return WallTime() + (clock_.now() - start_); }},
                   default_rules()};
};

using Texts = std::vector<std::string>;

TEST_F(MonitorTest, TellsEverybodyOfWhatFiresAndListenersOfTheRest) {
  monitor_.evaluate();
  memory_ = 0.9;
  pass(31s);  // the window holds the new value only
  EXPECT_EQ(told_, Texts{"* memory pending"});
  EXPECT_EQ(noticed_, Texts{});
  pass(60s);
  memory_ = 0.1;
  pass(31s);
  EXPECT_EQ(told_, (Texts{"* memory pending", "* memory firing", "* memory resolved"}));
  EXPECT_EQ(noticed_, (Texts{"memory firing", "memory resolved"}));
  const Report report = monitor_.report();
  ASSERT_EQ(report.alerts.size(), 1U);
  EXPECT_EQ(report.alerts[0].since, WallTime(31s));
  EXPECT_EQ(report.alerts[0].fired, WallTime(91s));
  EXPECT_EQ(report.alerts[0].resolved, WallTime(122s));
}

TEST_F(MonitorTest, ListensForLoadsAndSwitchesAndTakesRequests) {
  telemetry::Event failed;
  failed.type = "alias";
  failed.text = {{"result", "failed"}};
  events_.publish(failed);
  for (int i = 0; i < 10; ++i) monitor_.request({.model = "m", .failed = true});
  monitor_.evaluate();
  EXPECT_EQ(told_, (Texts{"* switch_success firing", "m error_rate pending"}));
}

TEST_F(MonitorTest, NewRulesCountFromTheNextTimeOn) {
  Rules rules = default_rules();
  rules[static_cast<std::size_t>(Rule::kMemory)] = {.threshold = 0.4, .hold = 0s, .window = 30s};
  monitor_.set_rules(rules);
  EXPECT_EQ(told_, Texts{});
  monitor_.evaluate();
  EXPECT_EQ(told_, Texts{"* memory firing"});
  EXPECT_EQ(monitor_.report().rules, rules);
}

}  // namespace
}  // namespace switchyard::alerts
