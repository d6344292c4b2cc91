#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "config/alert_settings.h"
#include "config/config_file.h"

namespace switchyard::config {
namespace {

using namespace std::chrono_literals;
using alerts::Rule;
using testing::HasSubstr;

Result<AlertSettings> settings_of(const std::string& text, const std::string& path = "x.yaml") {
  const auto file = parse_config(text, path);
  if (!file) return std::unexpected(file.error());
  return build_alert_settings(*file);
}

TEST(AlertSettingsTest, TheRulesOwnWhereNothingIsSaid) {
  EXPECT_EQ(settings_of(""), AlertSettings{});
  EXPECT_EQ(settings_of("alerts: null"), AlertSettings{});
}

TEST(AlertSettingsTest, EveryUnit) {
  const auto settings = settings_of(R"(
alerts:
  model_load_time: {threshold: 90s, for: 1m, window: 1h}
  memory: {threshold: 75%}
  switch_success: {threshold: 0.5}
  engine_restarts: {threshold: 0}
  queue_wait: {off: true}
)");
  ASSERT_TRUE(settings) << settings.error().to_string();
  const auto rule = [&](Rule of) { return alerts::settings_of(settings->rules, of); };
  EXPECT_EQ(rule(Rule::kModelLoadTime), (alerts::RuleSettings{.threshold = 90, .hold = 1min, .window = 1h}));
  EXPECT_EQ(rule(Rule::kMemory).threshold, 0.75);
  EXPECT_EQ(rule(Rule::kMemory).hold, 1min) << "the rule's own";
  EXPECT_EQ(rule(Rule::kSwitchSuccess).threshold, 0.5);
  EXPECT_EQ(rule(Rule::kEngineRestarts).threshold, 0);
  EXPECT_TRUE(rule(Rule::kQueueWait).off);
}

TEST(AlertSettingsTest, FaultsWithTheirLine) {
  for (const auto& [text, fault] : std::vector<std::pair<std::string, std::string>>{
           {"alerts:\n  memory: {threshold: 80}", "x.yaml:2: '80' is no share; write 80% or 0.8"},
           {"alerts:\n  memory: {threshold: 120%}", "is no share"},
           {"alerts:\n  memory: {threshold: 8 GiB}", "is no share"},
           {"alerts:\n  memory: {threshold: nan}", "is no share"},
           {"alerts:\n  engine_restarts: {threshold: -1}", "is not a number from 0 up"},
           {"alerts:\n  model_load_time: {threshold: 10}", "x.yaml:2: '10' is no length of time"},
           {"alerts:\n  memory: {window: 0}", "a window must be above 0"},
           {"alerts:\n  memory: {window: 2d}", "at most 24h"},
           {"alerts:\n  memory: {thresold: 80%}",
            "unknown key 'thresold' in alerts.memory; did you mean 'threshold'?"},
           {"alerts:\n  memroy: {}", "x.yaml:2: unknown key 'memroy' in alerts; did you mean 'memory'?"},
           {"alerts:\n  memory: 80%", "alerts.memory must be a mapping"},
           {"alerts:\n  webhook: {url: ftp://x}", "must begin with http:// or https://"},
           {"alerts:\n  webhook: {secret: s}", "the webhook needs a url"},
           {"alerts:\n  webhook: {url: 'http://x', secret: s, secret_file: f}", "not both"},
           {"alerts:\n  webhook: {url: 'http://x', timeout: 0}", "the timeout must be above 0"},
       }) {
    const auto settings = settings_of(text);
    ASSERT_FALSE(settings) << text;
    EXPECT_EQ(settings.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(settings.error().message, HasSubstr(fault)) << text;
  }
}

TEST(AlertSettingsTest, TheSecretMayBeInAFileBesideTheConfiguration) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "alert_settings_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "secret") << "s3cret\r\nnot this\n";
  std::ofstream(folder / "empty") << "\n";
  const auto with = [&](const std::string& file) {
    return settings_of("alerts: {webhook: {url: 'http://x/y', secret_file: " + file + ", retries: 2}}",
                       (folder / "c.yaml").string());
  };
  const auto settings = with("secret");
  ASSERT_TRUE(settings) << settings.error().to_string();
  EXPECT_EQ(settings->webhook, (WebhookSettings{.url = "http://x/y", .secret = "s3cret", .retries = 2}));
  EXPECT_EQ(with("empty").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(with("missing").error().code, ErrorCode::kNotFound);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace switchyard::config
