#include "library/core.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <latch>
#include <thread>

namespace switchyard::library {
namespace {

class FakeReply final : public engine::Reply {
 public:
  explicit FakeReply(std::vector<std::string> chunks) : chunks_(std::move(chunks)) {}
  int status() const override { return 200; }
  const std::string& content_type() const override { return type_; }
  const std::map<std::string, std::string>& headers() const override { return headers_; }
  bool is_stream() const override { return true; }
  std::string take_body() override { return {}; }
  bool next(std::string& chunk) override {
    chunk = chunks_.at(at_++);
    return at_ < chunks_.size();
  }

 private:
  std::vector<std::string> chunks_;
  std::size_t at_ = 0;
  std::string type_ = "text/event-stream";
  std::map<std::string, std::string> headers_;
};

class FakeWeights final : public engine::Weights {
 public:
  ByteSize release_pages() override { return {}; }
};

class FakeEngine final : public engine::Engine {
 public:
  explicit FakeEngine(std::string says) : says_(std::move(says)) {}
  std::unique_ptr<engine::Reply> handle(engine::Request) override {
    return std::make_unique<FakeReply>(std::vector<std::string>{
        fmt::format(R"(data: {{"choices":[{{"delta":{{"content":"{}"}}}}]}})", says_) + "\n\n",
        "data: [DONE]\n\n"});
  }
  engine::EngineSample sample(std::chrono::milliseconds) override { return {}; }
  std::string info_json() const override { return "{}"; }
  std::string props_json() override { return "{}"; }
  std::shared_ptr<engine::Weights> weights() override { return std::make_shared<FakeWeights>(); }
  Status probe(std::chrono::milliseconds) override { return {}; }

 private:
  std::string says_;
};

/// Answers with the version's name; fails for the version "bad"; waits for its stop at "slow".
class FakeLoader final : public engine::EngineLoader {
 public:
  Result<engine::Inspection> inspect(const engine::ModelSpec& spec, const engine::InspectOptions&,
                                     std::stop_token) override {
    engine::Inspection inspection;
    inspection.weights_key = spec.model + spec.version;
    inspection.need.items.push_back({.device = "host",
                                     .weights_mapped = {},
                                     .weights_private = ByteSize::mib(1),
                                     .context = {},
                                     .compute = {},
                                     .vocabulary = {},
                                     .prompt_cache = {}});
    inspection.resolved_args = spec.args;
    return inspection;
  }
  Result<std::unique_ptr<engine::Engine>> load(
      const engine::ModelSpec& spec, const engine::Inspection&,
      const std::function<void(const engine::LoadProgress&)>& progress, std::stop_token stop) override {
    progress({.stage = "text_model", .stages = {"text_model"}, .value = 0.5});
    if (spec.version == "bad") return fail(ErrorCode::kCorruptFile, "bad file");
    if (spec.version == "slow") {
      while (!stop.stop_requested()) std::this_thread::yield();
      return fail(ErrorCode::kCancelled, "cancelled");
    }
    return std::make_unique<FakeEngine>(spec.version);
  }
  void forget(const std::string&, const std::string&) override {}
  void prefetch(const engine::ModelSpec&, std::stop_token) override {}
  void forget_all_but(const std::map<std::string, std::vector<std::string>>&) override {}
  engine::ConversationStats conversations() const override { return {}; }
};

class CoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(file_) << "GGUF";
    for (const auto* version : {"1", "2", "bad", "slow"}) {
      ModelConfig config;
      config.id = "m";
      config.version = version;
      config.file = file_;
      ASSERT_TRUE(core_->add_model(config).has_value());
    }
  }
  void TearDown() override { std::filesystem::remove(file_); }
  ModelState state(const std::string& version) const {
    for (const auto& info : core_->list()) {
      if (info.version == version) return info.state;
    }
    return ModelState::kFailed;
  }
  static models::Limits limits() {
    models::Limits limits;
    limits.memory_budget = ByteSize::gib(1);
    return limits;
  }
  const std::string file_ = fmt::format("{}core_test_{}.gguf", testing::TempDir(),
                                        testing::UnitTest::GetInstance()->current_test_info()->name());
  std::shared_ptr<Core> core_ = std::make_shared<Core>(std::make_unique<FakeLoader>(), limits());
};

TEST_F(CoreTest, ASwitchMovesTheAliasAndParksWhatItLeft) {
  ASSERT_TRUE(core_->switch_model("chat", "m@1", {}).has_value());
  {
    auto before = core_->acquire("chat", {});
    ASSERT_TRUE(before.has_value());
    ASSERT_TRUE(core_->switch_model("chat", "m@2", {}).has_value());
    // The lease from before the switch still answers with what it was given.
    EXPECT_EQ(before->chat("?").value(), "1");
    EXPECT_EQ(core_->acquire("chat", {})->chat("?").value(), "2");
  }
  // By now the old one drains or is parked; asking for it again would bring it back.
  EXPECT_NE(state("1"), ModelState::kHot);
  EXPECT_EQ(core_->aliases(), (std::map<std::string, std::string>{{"chat", "m@2"}}));
}

TEST_F(CoreTest, AFailedSwitchLeavesTheAlias) {
  ASSERT_TRUE(core_->switch_model("chat", "m@1", {}).has_value());
  EXPECT_EQ(core_->switch_model("chat", "m@bad", {}).error().code, ErrorCode::kCorruptFile);
  EXPECT_EQ(core_->acquire("chat", {})->model(), "m@1");
  EXPECT_EQ(state("1"), ModelState::kHot);
}

TEST_F(CoreTest, APinnedModelIsNotParkedByASwitch) {
  ASSERT_TRUE(core_->switch_model("chat", "m@1", {}).has_value());
  ASSERT_TRUE(core_->pin("m", true).has_value());
  ASSERT_TRUE(core_->switch_model("chat", "m@2", {}).has_value());
  EXPECT_EQ(state("1"), ModelState::kHot);
}

TEST_F(CoreTest, RollbackAndHistory) {
  ASSERT_TRUE(core_->switch_model("chat", "m@1", {}).has_value());
  SwitchOptions options;
  options.why = "newer";
  ASSERT_TRUE(core_->switch_model("chat", "m@2", options).has_value());
  ASSERT_TRUE(core_->rollback("chat", {}).has_value());
  EXPECT_EQ(core_->acquire("chat", {})->model(), "m@1");
  EXPECT_EQ(core_->rollback("chat", {}).error().code, ErrorCode::kConflict);
  const auto history = core_->history("chat", 10).value();
  ASSERT_EQ(history.size(), 3U);
  EXPECT_EQ(history[0].kind, "rollback");
  EXPECT_EQ(history[1].why, "newer");
  EXPECT_EQ(history[1].outcome, "rolled_back");
  EXPECT_EQ(history[2].kind, "create");
  EXPECT_FALSE(history[1].phases.empty());
}

TEST_F(CoreTest, ASwitchCanBeCancelled) {
  ASSERT_TRUE(core_->switch_model("chat", "m@1", {}).has_value());
  std::stop_source stop;
  SwitchOptions options;
  options.on_progress = [&](const LoadProgress&) { stop.request_stop(); };
  options.stop = stop.get_token();
  EXPECT_EQ(core_->switch_model("chat", "m@slow", options).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(core_->acquire("chat", {})->model(), "m@1");
  while (state("slow") != ModelState::kCold) std::this_thread::yield();
}

TEST_F(CoreTest, ABareIdMeansTheNewestVersionThatHasAnswered) {
  ASSERT_TRUE(core_->load("m@2", {}).has_value());
  EXPECT_EQ(core_->acquire("m@2", {})->model(), "m@2");
  ModelConfig config;
  config.id = "m";
  config.version = "bad";  // the newest, again
  config.file = file_;
  ASSERT_TRUE(core_->add_model(config).has_value());
  EXPECT_EQ(core_->acquire("m", {})->model(), "m@2");
  config.version = "3";
  ASSERT_TRUE(core_->add_model(config).has_value());
  while (core_->acquire("m", {})->model() != "m@3") std::this_thread::yield();
  EXPECT_EQ(core_->history("m", 10)->front().kind, "upgrade");
}

TEST_F(CoreTest, AliasesAndModelsDoNotShareNames) {
  EXPECT_TRUE(core_->switch_model("m", "m@1", {}).has_value()) << "a model's own name for its own version";
  ModelConfig other;
  other.id = "other";
  other.file = file_;
  ASSERT_TRUE(core_->add_model(other).has_value());
  EXPECT_EQ(core_->switch_model("other", "m@1", {}).error().code, ErrorCode::kInvalidArgument);
  ASSERT_TRUE(core_->switch_model("chat", "m@1", {}).has_value());
  ModelConfig config;
  config.id = "chat";
  config.file = file_;
  EXPECT_EQ(core_->add_model(config).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(CoreTest, ProgressIsToldAndALoadCanBeCancelled) {
  std::stop_source stop;
  std::string stage;
  const LoadOptions options{.on_progress =
                                [&](const LoadProgress& progress) {
                                  stage = progress.stage;
                                  stop.request_stop();
                                },
                            .stop = stop.get_token()};
  EXPECT_EQ(core_->load("m@slow", options).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(stage, "text_model");
  EXPECT_EQ(state("slow"), ModelState::kCold);
}

TEST_F(CoreTest, ParkAndResume) {
  EXPECT_EQ(core_->park("m@1").error().code, ErrorCode::kConflict);
  ASSERT_TRUE(core_->load("m@1", {}).has_value());
  ASSERT_TRUE(core_->park("m@1").has_value());
  EXPECT_EQ(state("1"), ModelState::kParked);
  ASSERT_TRUE(core_->resume("m@1").has_value());
  EXPECT_EQ(state("1"), ModelState::kHot);
  ASSERT_TRUE(core_->unload("m@1").has_value());
  EXPECT_EQ(state("1"), ModelState::kCold);
}

TEST_F(CoreTest, ALeaseOutlivesTheManager) {
  auto lease = core_->acquire("m@1", {});
  ASSERT_TRUE(lease.has_value());
  core_.reset();
  EXPECT_EQ(lease->chat("?").value(), "1");
}

TEST_F(CoreTest, AReaderMayStopAStream) {
  auto lease = core_->acquire("m@1", {});
  ASSERT_TRUE(lease.has_value());
  EXPECT_EQ(lease->post("/v1/chat/completions", "{}", [](std::string_view) { return false; }).error().code,
            ErrorCode::kCancelled);
}

TEST_F(CoreTest, OptionsAndFilesAreCheckedWhenAdded) {
  ModelConfig config;
  config.id = "n";
  config.file = "/nowhere.gguf";
  EXPECT_EQ(core_->add_model(config).error().code, ErrorCode::kNotFound);
  config.file = file_;
  config.args = {{"ctx-sise", "1"}};
  EXPECT_EQ(core_->add_model(config).error().code, ErrorCode::kInvalidArgument);
  config.args = {{"port", "1"}};
  EXPECT_EQ(core_->add_model(config).error().code, ErrorCode::kInvalidArgument);
  config.args = {{"c", "1024"}};
  EXPECT_TRUE(core_->add_model(config).has_value());
}

}  // namespace
}  // namespace switchyard::library
