#include "alerts/alert.h"

#include <gtest/gtest.h>

#include "alerts/alert_text.h"
#include "alerts/window.h"

namespace switchyard::alerts {
namespace {

using namespace std::chrono_literals;

/// Two rules that are on: memory above 80 % for a minute, switches below 99.9 % at once.
Rules two_rules() {
  Rules rules = default_rules();
  for (RuleSettings& rule : rules) rule.off = true;
  rules[static_cast<std::size_t>(Rule::kMemory)] = {.threshold = 0.8, .hold = 60s, .window = 30s};
  rules[static_cast<std::size_t>(Rule::kSwitchSuccess)] = {.threshold = 0.999, .hold = 0s, .window = 1h};
  return rules;
}

/// Alerts stepped by hand.
class AlertSteps : public ::testing::Test {
 protected:
  /// Steps `after` later; what has changed, as "rule[/model] phase".
  std::vector<std::string> step(Duration after, const std::vector<Reading>& readings) {
    now_ += std::chrono::duration_cast<TimePoint::duration>(after);
    Step step = next_alerts(rules_, readings, alerts_, now_);
    alerts_ = std::move(step.alerts);
    std::vector<std::string> changed;
    for (const Alert& alert : step.changed) {
      changed.push_back(std::string(info_of(alert.rule).name) +
                        (alert.model.empty() ? "" : "/" + alert.model) + " " +
                        std::string(to_string(alert.phase)));
    }
    return changed;
  }
  static Reading memory(double value) { return {.rule = Rule::kMemory, .value = value}; }

  using Changes = std::vector<std::string>;
  Rules rules_ = two_rules();
  TimePoint now_{1h};
  std::vector<Alert> alerts_;
};

TEST_F(AlertSteps, AConditionHoldsForAsLongAsTheRuleSaysBeforeItFires) {
  struct Row {
    Duration after;
    double value;
    Changes changes;
  };
  const std::vector<Row> table = {
      {0s, 0.80, {}},  // not above
      {1s, 0.81, {"memory pending"}},
      {59s, 0.95, {}},
      {1s, 0.82, {"memory firing"}},
      {10min, 0.99, {}},
      {1s, 0.80, {"memory resolved"}},
      {1s, 0.85, {"memory pending"}},
      {59s, 0.5, {"memory inactive"}},  // not long enough: nobody is told but listeners
      {1s, 0.85, {"memory pending"}},   // counts from the beginning
      {59s, 0.85, {}},
      {1s, 0.85, {"memory firing"}},
  };
  for (std::size_t i = 0; i < table.size(); ++i) {
    EXPECT_EQ(step(table[i].after, {memory(table[i].value)}), table[i].changes) << "row " << i;
  }
  ASSERT_EQ(alerts_.size(), 2U) << "the one that fires, then the one that is over";
  EXPECT_EQ(alerts_[0].phase, Phase::kFiring);
  EXPECT_EQ(alerts_[0].since, now_ - 60s);
  EXPECT_EQ(alerts_[0].fired, now_);
  EXPECT_EQ(alerts_[1].phase, Phase::kResolved);
  EXPECT_EQ(alerts_[1].value, 0.99) << "the last value that made it fire";
  EXPECT_EQ(*alerts_[1].resolved - *alerts_[1].fired, 601s);
}

TEST_F(AlertSteps, WithoutDurationItFiresAtOnceAndBelowMeansBelow) {
  const auto success = [](double value) { return Reading{.rule = Rule::kSwitchSuccess, .value = value}; };
  EXPECT_EQ(step(0s, {success(0.999)}), Changes{});
  EXPECT_EQ(step(1s, {success(0.5)}), Changes{"switch_success firing"});
  EXPECT_EQ(step(1s, {success(1)}), Changes{"switch_success resolved"});
}

TEST_F(AlertSteps, ModelsHaveAlertsOfTheirOwn) {
  rules_[static_cast<std::size_t>(Rule::kErrorRate)] = {.threshold = 0.05, .hold = 0s, .window = 5min};
  const Reading a{Rule::kErrorRate, "a", 0.5}, b{Rule::kErrorRate, "b", 0.5}, fine{Rule::kErrorRate, "a", 0};
  EXPECT_EQ(step(0s, {a}), Changes{"error_rate/a firing"});
  EXPECT_EQ(step(1s, {a, b}), Changes{"error_rate/b firing"});
  EXPECT_EQ(step(1s, {fine, b}), Changes{"error_rate/a resolved"});
}

TEST_F(AlertSteps, WithoutAValueOrARuleNothingFires) {
  step(0s, {memory(0.9)});
  EXPECT_EQ(step(60s, {memory(0.9)}), Changes{"memory firing"});
  EXPECT_EQ(step(1s, {}), Changes{"memory resolved"});
  step(1s, {memory(0.9)});
  EXPECT_EQ(step(60s, {memory(0.9)}), Changes{"memory firing"});
  rules_[static_cast<std::size_t>(Rule::kMemory)].off = true;
  EXPECT_EQ(step(1s, {memory(0.9)}), Changes{"memory resolved"});
}

TEST_F(AlertSteps, ANewThresholdCountsAtOnce) {
  step(0s, {memory(0.9)});
  step(60s, {memory(0.9)});
  rules_[static_cast<std::size_t>(Rule::kMemory)].threshold = 0.95;
  EXPECT_EQ(step(1s, {memory(0.9)}), Changes{"memory resolved"});
}

TEST_F(AlertSteps, ResolvedOnesAreKeptForAnHourAndAtMostAHundred) {
  const Reading bad{.rule = Rule::kSwitchSuccess, .value = 0};
  step(0s, {bad});
  step(1s, {});
  ASSERT_EQ(alerts_.size(), 1U);
  step(59min, {});
  EXPECT_EQ(alerts_.size(), 1U);
  step(1min, {});
  EXPECT_TRUE(alerts_.empty());
  for (int i = 0; i < 120; ++i) {
    step(1s, {bad});
    step(1s, {});
  }
  ASSERT_EQ(alerts_.size(), 100U);
  EXPECT_EQ(alerts_.front().resolved, now_) << "the newest first";
}

TEST(AlertTexts, SayWhatWhereAndHowMuch) {
  EXPECT_EQ(describe({.rule = Rule::kInferenceLatency,
                      .model = "m",
                      .phase = Phase::kFiring,
                      .value = 1.2345,
                      .threshold = 1}),
            "m: the time to the first token (p95) is 1.23 s, above 1 s");
  EXPECT_EQ(
      describe({.rule = Rule::kSwitchSuccess, .phase = Phase::kResolved, .value = 0.5, .threshold = 0.999}),
      "the share of switches that succeeded was 50 %, below 99.9 %");
  EXPECT_EQ(describe({.rule = Rule::kEngineRestarts, .phase = Phase::kPending, .value = 3, .threshold = 2}),
            "engines started again is 3, above 2");
}

TEST(RuleDefaults, AreThoseOfTheMission) {
  const auto threshold = [](Rule rule) { return info_of(rule).defaults.threshold; };
  EXPECT_EQ(threshold(Rule::kModelLoadTime), 10);
  EXPECT_EQ(threshold(Rule::kMemory), 0.8);
  EXPECT_EQ(threshold(Rule::kInferenceLatency), 1);
  EXPECT_EQ(threshold(Rule::kSwitchSuccess), 0.999);
}

TEST(Windows, KeepWhatIsYoungAndAreBounded) {
  const TimePoint start{1h};
  Window window;
  constexpr int kAdded = 100'000;
  for (int i = 0; i < kAdded; ++i) window.add(start + i * 1ms, i % 10 == 0 ? 1 : 0);
  const std::vector<double> all = window.since(start);
  EXPECT_LE(all.size(), 1024U);
  EXPECT_GE(all.size(), 400U);
  const auto half = static_cast<double>(window.since(start + kAdded / 2 * 1ms).size());
  EXPECT_NEAR(half / static_cast<double>(all.size()), 0.5, 0.1) << "spread over the whole time";
  EXPECT_NEAR(mean(all), 0.1, 0.05);
  window.forget(start + kAdded * 1ms);
  EXPECT_TRUE(window.empty());
}

TEST(Windows, KeepEverySampleAgainOnceThereAreFew) {
  const TimePoint start{1h};
  Window window;
  for (int i = 0; i < 10'000; ++i) window.add(start, 0);
  for (int i = 0; i < 10; ++i) window.forget(start + 1s);
  for (int i = 0; i < 20; ++i) window.add(start + 2s, i);
  EXPECT_EQ(window.since(start).size(), 20U);
}

TEST(Windows, QuantilesAreOfTheNearestRank) {
  EXPECT_EQ(quantile({7}, 0.95), 7);
  std::vector<double> twenty;
  for (int i = 20; i > 0; --i) twenty.push_back(i);
  EXPECT_EQ(quantile(twenty, 0.95), 19);
  EXPECT_EQ(quantile(twenty, 1), 20);
  EXPECT_EQ(quantile(twenty, 0), 1);
  EXPECT_EQ(mean(twenty), 10.5);
}

}  // namespace
}  // namespace switchyard::alerts
