#include "experiments/recorder.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

namespace switchyard::experiments {
namespace {

using ::testing::HasSubstr;

class RecorderTest : public ::testing::Test {
 public:
  RecorderTest() {
    std::string name = std::filesystem::temp_directory_path() / "experimentsXXXXXX";
    folder_ = mkdtemp(name.data());
    start();
  }
  ~RecorderTest() override {
    recorder_.reset();
    state_.reset();
    std::filesystem::remove_all(folder_);
  }
  RecorderTest(const RecorderTest&) = delete;
  RecorderTest& operator=(const RecorderTest&) = delete;

 protected:
  /// As the server starts, with what the last one left.
  void start() {
    recorder_.reset();
    state_.reset();
    state_ = std::make_unique<store::StateDatabase>(folder_ / "state.sqlite");
    recorder_ = std::make_unique<Recorder>(dependencies(), options_);
  }
  Recorder::Dependencies dependencies() {
    return {.state = *state_,
            .move =
                [this](const Move& move, const std::function<void(bool)>& done) {
                  moves_.push_back(move.alias + " -> " + move.version);
                  done(may_move_);
                },
            .now = [this] { return now_; },
            .intake_file = folder_ / "intake"};
  }

  static Definition definition() {
    return {.id = "x", .alias = "chat", .arms = {{"a@1", 50}, {"a@2", 50}}, .minimum_sample = 20};
  }
  static Observation observation(const std::string& version, double latency, const std::string& id = {}) {
    return {.name = "chat", .version = version, .request_id = id, .latency = latency, .failed = false};
  }
  /// `pairs` requests of each arm, with some spread.
  void observe(int pairs, double seconds, double variant_seconds) {
    for (int i = 0; i < pairs; ++i) {
      recorder_->observe(observation("a@1", seconds * (i % 2 ? 1.1 : 0.9)));
      recorder_->observe(observation("a@2", variant_seconds * (i % 2 ? 1.1 : 0.9)));
    }
  }
  std::shared_ptr<const Trial> trial(const std::string& id = "x") { return recorder_->report(id)->trial; }
  std::int64_t count(std::size_t arm, Metric metric) { return trial()->tally.whole()[arm].of(metric).count; }

  std::filesystem::path folder_;
  std::int64_t now_ = 1'000'000;
  Recorder::Options options_;
  std::vector<std::string> moves_;
  bool may_move_ = true;
  std::unique_ptr<store::StateDatabase> state_;
  std::unique_ptr<Recorder> recorder_;
};

TEST_F(RecorderTest, CountsTheArmsOfItsAliasAndNothingElse) {
  ASSERT_TRUE(recorder_->begin(definition()));
  recorder_->observe(observation("a@1", 1));
  recorder_->observe(observation("a@2", 2));
  recorder_->observe(observation("b@1", 3));
  recorder_->observe({.name = "other", .version = "a@1", .latency = 1});
  EXPECT_EQ(recorder_->losses().queued, 2);
  EXPECT_EQ(count(0, Metric::kLatency), 0) << "not before it is written";
  recorder_->write();
  EXPECT_EQ(count(0, Metric::kLatency), 1);
  EXPECT_EQ(count(1, Metric::kLatency), 1);
  EXPECT_EQ(count(1, Metric::kErrorRate), 1);
  EXPECT_EQ(recorder_->losses().written, 2);
  EXPECT_EQ(recorder_->losses().queued, 0);
}

TEST_F(RecorderTest, DecidesAndWithAutomaticMovesTheAlias) {
  Definition automatic = definition();
  automatic.automatic = true;
  ASSERT_TRUE(recorder_->begin(automatic));
  observe(30, 1, 0.5);
  recorder_->write();
  EXPECT_EQ(trial()->progress.state, State::kDecided);
  EXPECT_EQ(trial()->progress.decision, Decision::kPromote);
  EXPECT_TRUE(trial()->progress.acted);
  EXPECT_EQ(trial()->progress.ended, now_);
  EXPECT_THAT(moves_, ::testing::ElementsAre("chat -> a@2"));
  observe(5, 1, 0.5);
  recorder_->write();
  EXPECT_EQ(count(0, Metric::kLatency), 30) << "it is over";
}

TEST_F(RecorderTest, AVerdictWhoseAliasCannotBeMovedIsNotCalledActedOn) {
  Definition automatic = definition();
  automatic.automatic = true;
  ASSERT_TRUE(recorder_->begin(automatic));
  may_move_ = false;
  observe(30, 1, 0.5);
  recorder_->write();
  EXPECT_EQ(trial()->progress.state, State::kDecided);
  EXPECT_FALSE(trial()->progress.acted);
  may_move_ = true;
  start();
  recorder_->write();
  EXPECT_TRUE(trial()->progress.acted) << "the next process tries again";
}

TEST_F(RecorderTest, EndsWithItsAlias) {
  ASSERT_TRUE(recorder_->begin(definition()));
  recorder_->alias_removed("another");
  EXPECT_EQ(trial()->progress.state, State::kRunning);
  recorder_->alias_removed("chat");
  EXPECT_EQ(trial()->progress.state, State::kStopped);
}

TEST_F(RecorderTest, WithoutAutomaticNothingMoves) {
  ASSERT_TRUE(recorder_->begin(definition()));
  observe(30, 1, 2);
  recorder_->write();
  EXPECT_EQ(trial()->progress.decision, Decision::kRollBack);
  EXPECT_EQ(recorder_->report("x")->verdict.decision, Decision::kRollBack);
  EXPECT_TRUE(moves_.empty());
}

TEST_F(RecorderTest, EverythingIsThereAfterARestart) {
  Definition asked = definition();
  asked.hypothesis = "half the layers,\nhalf the time";
  asked.arms = {{"a@1", 33.3}, {"a@2", 66.7}};
  asked.guardrails = {{.metric = Metric::kErrorRate, .tolerance = 0.01}};
  asked.segment_by = {.what = SegmentBy::What::kStreaming};
  asked.alpha = 0.01;
  ASSERT_TRUE(recorder_->begin(asked));
  observe(15, 1, 1);
  recorder_->write();
  const auto before = trial();
  start();
  EXPECT_EQ(trial()->definition, asked);
  EXPECT_EQ(trial()->tally.whole(), before->tally.whole());
  EXPECT_EQ(trial()->tally.segments(), before->tally.segments());
  EXPECT_EQ(trial()->tally.segments().at("whole")[0].requests, 15);
  EXPECT_EQ(trial()->trail.size(), before->trail.size());
  observe(1, 1, 1);
  recorder_->write();
  EXPECT_EQ(count(0, Metric::kLatency), 16);
}

/// A process that is killed loses what it had not written, and the next one says how much.
TEST_F(RecorderTest, WhatAKillLosesIsCounted) {
  ASSERT_TRUE(recorder_->begin(definition()));
  recorder_.reset();
  state_.reset();
  const pid_t child = fork();
  if (child == 0) {
    start();
    observe(5, 1, 1);
    recorder_->write();
    observe(3, 1, 1);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  start();
  EXPECT_EQ(count(0, Metric::kLatency), 5);
  EXPECT_EQ(recorder_->losses().written, 10);
  EXPECT_EQ(recorder_->losses().lost, 6);
  start();
  EXPECT_EQ(recorder_->losses().lost, 6) << "counted once";
}

TEST_F(RecorderTest, AnEndWritesWhatIsQueued) {
  ASSERT_TRUE(recorder_->begin(definition()));
  observe(4, 1, 1);
  start();
  EXPECT_EQ(count(1, Metric::kLatency), 4);
  EXPECT_EQ(recorder_->losses().lost, 0);
}

TEST_F(RecorderTest, ADecisionThatWasNotActedOnIsActedOnByTheNextProcess) {
  Definition automatic = definition();
  automatic.automatic = true;
  ASSERT_TRUE(recorder_->begin(automatic));
  observe(30, 1, 0.5);
  start();  // its end decides
  EXPECT_TRUE(moves_.empty());
  recorder_->write();
  EXPECT_THAT(moves_, ::testing::ElementsAre("chat -> a@2"));
  start();
  recorder_->write();
  EXPECT_EQ(moves_.size(), 1U);
}

TEST_F(RecorderTest, TooManyAreDroppedAndCounted) {
  options_.most_queued = 10;
  start();
  ASSERT_TRUE(recorder_->begin(definition()));
  observe(8, 1, 1);
  EXPECT_EQ(recorder_->losses().queued, 10);
  EXPECT_EQ(recorder_->losses().dropped, 6);
  const Status refused = recorder_->feedback({.request_id = "r", .score = 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  recorder_->write();
  EXPECT_EQ(recorder_->losses().dropped, 7);
  start();
  EXPECT_EQ(recorder_->losses().dropped, 7);
  EXPECT_EQ(recorder_->losses().lost, 0);
}

TEST_F(RecorderTest, OnAFullDiskObservationsAreKeptAndWrittenLater) {
  ASSERT_TRUE(recorder_->begin(definition()));
  const auto set_most_pages = [&](const std::string& pages) {
    return state_->with(
        [&](store::Database& database) { return database.execute("PRAGMA max_page_count=" + pages); });
  };
  ASSERT_TRUE(set_most_pages("1"));  // SQLite makes that as many as there are
  for (int i = 0; i < 200; ++i) recorder_->observe(observation("a@1", 1, "request-" + std::to_string(i)));
  recorder_->write();
  ASSERT_TRUE(recorder_->losses().write_error);
  Definition another = definition();
  another.id = "y";
  another.alias = "code";
  another.hypothesis = std::string(1000, 'h');
  const auto refused = [&] {
    for (int i = 0; i < 100; ++i) {
      another.id += "y";
      another.alias += "y";
      if (const Status begun = recorder_->begin(another); !begun) return begun.error().code;
      if (another.id.size() > 60) another.id = "z";
    }
    return ErrorCode::kInternal;
  };
  EXPECT_EQ(refused(), ErrorCode::kUnavailable) << "a typed error";
  EXPECT_EQ(recorder_->losses().queued, 200);
  EXPECT_EQ(count(0, Metric::kLatency), 0) << "nothing is said that is not on disk";
  ASSERT_TRUE(set_most_pages("100000"));
  recorder_->write();
  EXPECT_FALSE(recorder_->losses().write_error);
  EXPECT_EQ(count(0, Metric::kLatency), 200);
}

TEST_F(RecorderTest, FeedbackCountsWheneverItComes) {
  ASSERT_TRUE(recorder_->begin(definition()));
  ASSERT_TRUE(recorder_->feedback({.request_id = "early", .score = 0.25}));
  recorder_->write();
  EXPECT_EQ(recorder_->losses().waiting, 1);
  start();
  recorder_->observe(observation("a@1", 1, "early"));
  recorder_->observe(observation("a@2", 1, "same batch"));
  recorder_->observe(observation("a@2", 1, "late"));
  ASSERT_TRUE(recorder_->feedback({.request_id = "same batch", .score = 0.5, .converted = true}));
  recorder_->write();
  EXPECT_EQ(recorder_->losses().waiting, 0);
  start();
  ASSERT_TRUE(recorder_->feedback({.request_id = "late", .score = 1}));
  ASSERT_TRUE(recorder_->feedback({.request_id = "nobody's", .score = 1}));
  recorder_->write();
  EXPECT_EQ(count(0, Metric::kScore), 1);
  EXPECT_EQ(trial()->tally.whole()[1].of(Metric::kScore).mean, 0.75);
  EXPECT_EQ(count(1, Metric::kConversion), 1);
  EXPECT_EQ(recorder_->losses().waiting, 1);
}

TEST_F(RecorderTest, TheFirstWordAboutARequestStands) {
  ASSERT_TRUE(recorder_->begin(definition()));
  recorder_->observe(observation("a@1", 1, "r"));
  for (const double score : {0.0, 1.0}) ASSERT_TRUE(recorder_->feedback({.request_id = "r", .score = score}));
  recorder_->write();
  ASSERT_TRUE(recorder_->feedback({.request_id = "r", .score = 1, .converted = true}));
  recorder_->write();
  EXPECT_EQ(count(0, Metric::kScore), 1);
  EXPECT_EQ(trial()->tally.whole()[0].of(Metric::kScore).mean, 0);
  EXPECT_EQ(count(0, Metric::kConversion), 1);
  EXPECT_EQ(recorder_->losses().refused, 2);
}

TEST_F(RecorderTest, FeedbackThatNobodyWaitsForIsBounded) {
  options_.most_waiting = 8;
  start();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(recorder_->feedback({.request_id = std::to_string(i), .score = 1}));
    recorder_->write();
  }
  EXPECT_LE(recorder_->losses().waiting, 10);
}

TEST_F(RecorderTest, ClocksThatGoBackChangeNothing) {
  ASSERT_TRUE(recorder_->begin(definition()));
  observe(5, 1, 1);
  recorder_->write();
  now_ = -5;
  observe(5, 1, 1);
  recorder_->observe(observation("a@1", -3));
  recorder_->write();
  EXPECT_EQ(count(0, Metric::kLatency), 10);
  EXPECT_EQ(recorder_->losses().refused, 1);
  start();
  EXPECT_EQ(count(0, Metric::kLatency), 10);
}

TEST_F(RecorderTest, ASubjectIsOneAssignment) {
  ASSERT_TRUE(recorder_->begin(definition()));
  for (int i = 0; i < 6; ++i) {
    Observation one = observation("a@1", 1);
    one.subject = "user-" + std::to_string(i % 2);
    recorder_->observe(one);
    if (i == 3) recorder_->write();
    if (i == 4) start();
  }
  recorder_->write();
  EXPECT_EQ(trial()->tally.whole()[0].assigned, 2);
  EXPECT_EQ(trial()->tally.whole()[0].requests, 6);
}

TEST_F(RecorderTest, SegmentsAreCountedByThemselvesAndBounded) {
  Definition by_path = definition();
  by_path.segment_by = {.what = SegmentBy::What::kPath};
  by_path.minimum_sample = 1000;
  ASSERT_TRUE(recorder_->begin(by_path));
  for (int i = 0; i < 30; ++i) {
    Observation one = observation("a@1", 1);
    one.path = "/" + std::to_string(i);
    recorder_->observe(one);
  }
  recorder_->write();
  EXPECT_EQ(trial()->tally.segments().at("/3")[0].requests, 1);
  EXPECT_EQ(trial()->tally.segments().at("other")[0].requests, 10);
  EXPECT_EQ(trial()->tally.whole()[0].requests, 30);
}

TEST_F(RecorderTest, AHeadersValuesAreSegmentsAlsoAfterARestart) {
  EXPECT_EQ(recorder_->segment_header("chat"), "");
  Definition by_header = definition();
  by_header.segment_by = {.what = SegmentBy::What::kHeader, .header = "x-plan"};
  by_header.minimum_sample = 1000;
  ASSERT_TRUE(recorder_->begin(by_header));
  start();
  EXPECT_EQ(recorder_->segment_header("chat"), "x-plan");
  EXPECT_EQ(recorder_->segment_header("other"), "");
  for (const char* plan : {"free", "paid", "free", ""}) {
    Observation one = observation("a@1", 1);
    one.segment = plan;
    recorder_->observe(one);
  }
  recorder_->write();
  EXPECT_EQ(trial()->tally.segments().at("free")[0].requests, 2);
  EXPECT_EQ(trial()->tally.segments().at("paid")[0].requests, 1);
  EXPECT_EQ(trial()->tally.segments().at("none")[0].requests, 1);
  ASSERT_TRUE(recorder_->stop("x"));
  EXPECT_EQ(recorder_->segment_header("chat"), "") << "it runs no more";
}

TEST_F(RecorderTest, RefusesWhatCannotBe) {
  ASSERT_TRUE(recorder_->begin(definition()));
  EXPECT_EQ(recorder_->begin(definition()).error().code, ErrorCode::kConflict);
  Definition other = definition();
  other.id = "y";
  EXPECT_THAT(recorder_->begin(other).error().message, HasSubstr("'x' of alias 'chat' runs"));
  other.arms[0].weight = 1;
  EXPECT_EQ(recorder_->begin(other).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(recorder_->report("y").error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(recorder_->stop("x"));
  EXPECT_EQ(recorder_->stop("x").error().code, ErrorCode::kConflict);
  ASSERT_TRUE(recorder_->remove("x"));
  EXPECT_EQ(recorder_->remove("x").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(recorder_->list().empty());
  EXPECT_TRUE(recorder_->begin(definition()));
}

TEST_F(RecorderTest, ManyMayTellAndLookWhileItWrites) {
  Definition long_one = definition();
  long_one.minimum_sample = 1'000'000;
  ASSERT_TRUE(recorder_->begin(long_one));
  constexpr int kThreads = 4, kEach = 500;
  std::atomic<int> telling = kThreads;
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kEach; ++i) {
        const std::string id = std::to_string(thread) + "-" + std::to_string(i);
        recorder_->observe(observation(i % 2 ? "a@1" : "a@2", 1, id));
        EXPECT_TRUE(recorder_->feedback({.request_id = id, .score = 1}));
        EXPECT_TRUE(recorder_->report("x"));
      }
      --telling;
    });
  }
  while (telling > 0) recorder_->write();
  threads.clear();
  recorder_->write();
  EXPECT_EQ(count(0, Metric::kLatency) + count(1, Metric::kLatency), kThreads * kEach);
  EXPECT_EQ(count(0, Metric::kScore) + count(1, Metric::kScore), kThreads * kEach);
  EXPECT_EQ(recorder_->losses().waiting, 0);
}

TEST_F(RecorderTest, AStoppedOneHasWhatCameBeforeAndNothingAfter) {
  ASSERT_TRUE(recorder_->begin(definition()));
  observe(3, 1, 1);
  ASSERT_TRUE(recorder_->stop("x"));
  observe(3, 1, 1);
  recorder_->write();
  EXPECT_EQ(count(0, Metric::kLatency), 3);
  start();
  EXPECT_EQ(trial()->progress.state, State::kStopped);
}

}  // namespace
}  // namespace switchyard::experiments
