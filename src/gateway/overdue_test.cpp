#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gateway/gateway.h"
#include "gateway/scripted_engine.h"

// How long clients wait, and how long others wait for them: with a clock that a test moves.

namespace switchyard::gateway {
namespace {

using namespace std::chrono_literals;
using testing::Script;

struct FakeSink final : ReplySink {
  void respond(ReplyHead head, std::string body) override {
    answers.push_back({head.status, std::move(body)});
  }
  void start(ReplyHead) override { started = true; }
  bool write(std::string bytes) override {
    text += bytes;
    return !slow;
  }
  void when_writable(std::function<void()> callback) override { resume = std::move(callback); }
  [[nodiscard]] Ending ending() const override {
    return text.ends_with("end") ? Ending::kWhole : Ending::kCut;
  }
  [[nodiscard]] TokenCounts tokens() const override { return {}; }
  void finish() override {
    answers.push_back({200, text});
    resume = nullptr;
  }
  void fail(const Error& error) override {
    errors.push_back(error);
    resume = nullptr;  // it holds the call
  }
  [[nodiscard]] bool client_gone() const override { return false; }
  void on_client_gone(std::function<void()>) override {}

  bool slow = false, started = false;
  std::string text;
  std::function<void()> resume;
  std::vector<std::pair<int, std::string>> answers;
  std::vector<Error> errors;
};

class Overdue : public ::testing::Test {
 protected:
  Overdue() {
    EXPECT_TRUE(manager_.set_catalog({testing::model_called("a")}, models::Manager::Preload::kNone));
  }
  static models::Limits limits() {
    models::Limits limits;
    limits.memory_budget = ByteSize::gib(1);
    return limits;
  }
  void run(Duration patience) {
    engine::Request request;
    request.method = "POST";
    request.path = "/v1/completions";
    gateway_.run({.model = "a", .patience = patience}, std::move(request), sink_);
  }
  void stream(std::function<void(std::size_t)> before_piece = {}) {
    answer_ = [before_piece](engine::Request&) {
      return Script{.pieces = {"one ", "two ", "end"}, .before_piece = before_piece};
    };
  }
  /// The reader has read what there was.
  void read() {
    if (const auto resume = std::exchange(sink_->resume, nullptr)) resume();
  }
  std::uint32_t leases() { return manager_.standing(kA)->leases; }

  const models::VersionRef kA{"a", "1"};
  InlineExecutor executor_;
  FakeClock clock_;
  telemetry::EventBus events_;
  testing::Answer answer_ = [](engine::Request&) { return Script{.body = "{}"}; };
  testing::ScriptedLoader loader_{[this](engine::Request& request) { return answer_(request); }};
  models::Manager manager_{
      {.loader = loader_, .executor = executor_, .events = events_, .clock = clock_, .own_timer = false},
      limits()};
  bool hold_names_ = false;
  std::function<void(Result<models::VersionRef>)> routed_;
  std::shared_ptr<FakeSink> sink_ = std::make_shared<FakeSink>();
  Gateway gateway_{{.manager = manager_,
                    .executor = executor_,
                    .route =
                        [this](const std::string&, const std::string&,
                               std::function<void(Result<models::VersionRef>)> done) {
                          if (!hold_names_) return done(kA);
                          routed_ = std::move(done);
                        },
                    .resolve = [this](const std::string&) -> Result<models::VersionRef> { return kA; },
                    .observer = {},
                    .before_release = {},
                    .clock = clock_}};
};

TEST_F(Overdue, ARequestLeavesWhenItsClientDoesNotWaitAnyLonger) {
  hold_names_ = true;
  run(1s);
  clock_.advance(999ms);
  gateway_.end_overdue();
  EXPECT_TRUE(sink_->errors.empty());
  clock_.advance(1ms);
  gateway_.end_overdue();
  ASSERT_EQ(sink_->errors.size(), 1U);
  EXPECT_EQ(sink_->errors[0].code, ErrorCode::kTimeout);
  routed_(kA);
  EXPECT_TRUE(sink_->answers.empty()) << "too late";
  EXPECT_EQ(gateway_.in_flight(), 0U);
}

TEST_F(Overdue, OneThatIsRoutedTooLateAsksForNoEngine) {
  hold_names_ = true;
  run(1s);
  clock_.advance(2s);
  routed_(kA);
  EXPECT_EQ(sink_->errors.size(), 1U);
  EXPECT_EQ(manager_.standing(kA)->state, models::State::kCold);
}

TEST_F(Overdue, AnEngineIsToldToStop) {
  answer_ = [this](engine::Request& request) {
    EXPECT_FALSE(request.should_stop());
    clock_.advance(1s);
    EXPECT_TRUE(request.should_stop());
    return Script{.body = ""};  // as llama.cpp answers what it was told to drop
  };
  run(1s);
  ASSERT_EQ(sink_->errors.size(), 1U);
  EXPECT_EQ(sink_->errors[0].code, ErrorCode::kTimeout);
  EXPECT_EQ(leases(), 0U);
}

TEST_F(Overdue, AStreamThatHasBegunGoesOn) {
  stream([this](std::size_t) { clock_.advance(1h); });
  run(1s);
  EXPECT_TRUE(sink_->errors.empty());
  EXPECT_EQ(sink_->text, "one two end");
}

TEST_F(Overdue, AReaderThatIsTooSlowLosesItsStreamAndTheEngineComesFree) {
  stream();
  sink_->slow = true;
  gateway_.set_limits({.slow_reader_timeout = 1min});
  run(1h);
  EXPECT_EQ(leases(), 1U);
  clock_.advance(59s);
  gateway_.end_overdue();
  EXPECT_EQ(leases(), 1U);
  read();  // the time begins again
  EXPECT_EQ(sink_->text, "one two ");
  clock_.advance(59s);
  gateway_.end_overdue();
  EXPECT_TRUE(sink_->errors.empty());
  clock_.advance(1s);
  gateway_.end_overdue();
  ASSERT_EQ(sink_->errors.size(), 1U);
  EXPECT_EQ(sink_->errors[0].code, ErrorCode::kTimeout);
  EXPECT_EQ(leases(), 0U);
}

TEST_F(Overdue, WithoutATimeoutASlowReaderIsWaitedFor) {
  stream();
  sink_->slow = true;
  gateway_.set_limits({.slow_reader_timeout = 0s});
  run(1s);
  clock_.advance(24h);
  gateway_.end_overdue();
  EXPECT_EQ(leases(), 1U);
  sink_->slow = false;
  read();
  EXPECT_EQ(sink_->text, "one two end");
}

TEST_F(Overdue, NothingThatABrokenEngineSaysIsPassedOn) {
  stream([this](std::size_t piece) {
    if (piece == 1) {
      EXPECT_TRUE(manager_.mark_broken(kA, {ErrorCode::kCorruptFile, "its file was cut"}));
    }
  });
  run(1h);
  EXPECT_EQ(sink_->text, "one ");
  ASSERT_EQ(sink_->errors.size(), 1U);
  EXPECT_EQ(sink_->errors[0].message, "its file was cut");
}

}  // namespace
}  // namespace switchyard::gateway
