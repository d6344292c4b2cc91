#include "engine/worker/workers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>
#include <random>
#include <thread>

#include "engine/worker/busy_board.h"
#include "engine/worker/remote_reply.h"
#include "engine/worker/serve.h"

// Both ends in one process: a service on a thread, and workers whose other end a test holds.

namespace switchyard::engine::worker {
namespace {

using ::testing::ElementsAre;

/// That of both ends; never destroyed, as in the program.
BusyBoard& board() {
  static auto* const made = new BusyBoard();
  return *made;
}

/// An engine whose replies a test writes.
struct Script {
  std::string body = {};                 ///< of a reply that is no stream
  std::vector<std::string> pieces = {};  ///< of a stream
  std::function<void()> before_piece = {};
};
using Answer = std::function<Script(Request&)>;

Request post(std::string path = "/", std::string body = {}) {
  Request request;
  request.method = "POST";
  request.path = std::move(path);
  request.body = std::move(body);
  return request;
}

SlotState state_of(std::vector<std::int32_t> tokens, Bytes main) {
  SlotState state;
  state.tokens = std::move(tokens);
  state.main = std::move(main);
  return state;
}

class ScriptedReply final : public Reply {
 public:
  explicit ScriptedReply(Script script) : script_(std::move(script)) {}
  [[nodiscard]] int status() const override { return 200; }
  [[nodiscard]] const std::string& content_type() const override { return type_; }
  [[nodiscard]] const std::map<std::string, std::string>& headers() const override { return headers_; }
  [[nodiscard]] bool is_stream() const override { return !script_.pieces.empty(); }
  [[nodiscard]] std::string take_body() override { return std::move(script_.body); }
  bool next(std::string& chunk) override {
    if (script_.before_piece) script_.before_piece();
    chunk = script_.pieces[at_];
    return ++at_ < script_.pieces.size();
  }

 private:
  Script script_;
  std::size_t at_ = 0;
  const std::string type_ = "text/plain";
  const std::map<std::string, std::string> headers_{{"x", "y"}};
};

class ScriptedWeights final : public Weights {
 public:
  ByteSize release_pages() override { return ByteSize::mib(5); }
};

class ScriptedEngine final : public Engine {
 public:
  ScriptedEngine(Answer answer, std::unique_ptr<SlotStateKeeper> keeper)
      : answer_(std::move(answer)), keeper_(std::move(keeper)) {}
  ~ScriptedEngine() override {
    if (keeper_ != nullptr && keeper_->make_room(3)) keeper_->put(state_of({7, 8, 9}, {1, 2, 3}));
  }
  ScriptedEngine(const ScriptedEngine&) = delete;
  ScriptedEngine& operator=(const ScriptedEngine&) = delete;
  [[nodiscard]] std::unique_ptr<Reply> handle(Request request) override {
    return std::make_unique<ScriptedReply>(answer_(request));
  }
  [[nodiscard]] EngineSample sample(std::chrono::milliseconds patience) override {
    return {.prompt_tokens = static_cast<std::uint64_t>(patience.count()), .predicted_seconds = 1.5};
  }
  [[nodiscard]] std::string info_json() const override { return R"({"id":"m"})"; }
  [[nodiscard]] std::string props_json() override { return R"({"p":1})"; }
  [[nodiscard]] std::shared_ptr<Weights> weights() override { return std::make_shared<ScriptedWeights>(); }
  [[nodiscard]] Status probe(std::chrono::milliseconds bound) override {
    if (bound.count() > 1) return {};
    return fail(ErrorCode::kTimeout, "too short");
  }
  [[nodiscard]] std::shared_ptr<const LoopActivity> activity() const override { return activity_; }

 private:
  const Answer answer_;
  const std::unique_ptr<SlotStateKeeper> keeper_;
  const std::shared_ptr<const LoopActivity> activity_ = board().make_activity();
};

class ScriptedRoutes final : public ProcessRoutes {
 public:
  explicit ScriptedRoutes(std::string own) : own_(std::move(own)) {}
  [[nodiscard]] std::unique_ptr<Reply> handle(Request request) override {
    if (request.method == "POST")
      return std::make_unique<ScriptedReply>(Script{.body = "[\"" + own_ + "\"]"});
    struct NotFound final : Reply {
      [[nodiscard]] int status() const override { return 404; }
      [[nodiscard]] const std::string& content_type() const override { return text; }
      [[nodiscard]] const std::map<std::string, std::string>& headers() const override { return none; }
      [[nodiscard]] bool is_stream() const override { return false; }
      [[nodiscard]] std::string take_body() override { return {}; }
      bool next(std::string&) override { return false; }
      std::string text;
      std::map<std::string, std::string> none;
    };
    if (request.params["conv_id"] != own_) return std::make_unique<NotFound>();
    return std::make_unique<ScriptedReply>(Script{.body = "stream of " + own_});
  }

 private:
  const std::string own_;
};

class ScriptedSource final : public EngineSource {
 public:
  explicit ScriptedSource(Answer answer) : answer_(std::move(answer)) {}
  [[nodiscard]] Result<std::unique_ptr<Engine>> load(const ModelSpec& spec, const Inspection&,
                                                     std::unique_ptr<SlotStateKeeper> keeper,
                                                     const std::function<void(const LoadProgress&)>& progress,
                                                     const std::stop_token&) override {
    progress({"text_model", {"text_model", "warmup"}, 0.5});
    if (spec.args.contains("bad")) return fail(ErrorCode::kCorruptFile, "bad", "very");
    if (keeper != nullptr) {
      if (const auto found = keeper->find("k1", {1, 2, 3}, 1)) keeper->restored(found, true);
    }
    progress({"warmup", {"text_model", "warmup"}, 1});
    return std::make_unique<ScriptedEngine>(answer_, std::move(keeper));
  }
  [[nodiscard]] ProcessRoutes& routes() override { return routes_; }
  [[nodiscard]] std::optional<std::uint64_t> place_of(const LoopActivity& activity) const override {
    return board().place_of(activity);
  }

 private:
  const Answer answer_;
  ScriptedRoutes routes_{"worker"};
};

/// A worker that is a thread of this process.
class ThreadWorker final : public Worker {
 public:
  explicit ThreadWorker(Answer answer) : source_(std::move(answer)) {
    auto pair = Channel::make_pair();
    control_.emplace(std::move(pair->first));
    thread_ = std::thread([this, control = std::move(pair->second)]() mutable {
      Service service(source_);
      service.run(control);
    });
  }
  ~ThreadWorker() override {
    control_.reset();
    thread_.join();
  }
  ThreadWorker(const ThreadWorker&) = delete;
  ThreadWorker& operator=(const ThreadWorker&) = delete;

  [[nodiscard]] Result<Channel> open() override {
    auto pair = Channel::make_pair();
    if (!pair) return std::unexpected(pair.error());
    const std::scoped_lock lock(mutex_);
    if (!control_->send_socket(pair->second)) return std::unexpected(why());
    return std::move(pair->first);
  }
  [[nodiscard]] std::stop_token died() const override { return died_.get_token(); }
  [[nodiscard]] Error why() const override { return {ErrorCode::kUnavailable, "it was ended by signal 9"}; }
  [[nodiscard]] Error why_silent() const override { return why(); }
  void kill() override {
    ++kills;
    died_.request_stop();
  }
  [[nodiscard]] std::shared_ptr<const LoopActivity> activity(std::uint64_t place) const override {
    return board().activity_at(place);
  }
  [[nodiscard]] bool usable() const override { return !died_.stop_requested(); }

  std::atomic<int> kills = 0;

 private:
  ScriptedSource source_;
  std::mutex mutex_;
  std::optional<Channel> control_;
  std::stop_source died_;
  std::thread thread_;
};

/// A worker whose calls a test answers.
class ManualWorker final : public Worker {
 public:
  [[nodiscard]] Result<Channel> open() override {
    auto pair = Channel::make_pair();
    calls.set_value(std::move(pair->second));
    return std::move(pair->first);
  }
  [[nodiscard]] std::stop_token died() const override { return {}; }
  [[nodiscard]] Error why() const override { return {ErrorCode::kUnavailable, "it was ended by signal 11"}; }
  [[nodiscard]] Error why_silent() const override { return why(); }
  void kill() override {}
  [[nodiscard]] std::shared_ptr<const LoopActivity> activity(std::uint64_t) const override { return nullptr; }
  [[nodiscard]] bool usable() const override { return true; }

  std::promise<Channel> calls;  ///< the one call
};

LoadOrder order_of(const std::string& model = "m") {
  LoadOrder order;
  order.spec = {.model = model, .version = "1", .reply_name = model, .args = {}};
  order.inspection.weights_key = "key of " + model;
  return order;
}

std::unique_ptr<Engine> load(const std::shared_ptr<Worker>& worker,
                             std::unique_ptr<SlotStateKeeper> keeper = nullptr) {
  LoadOrder order = order_of();
  order.keeps_conversations = keeper != nullptr;
  auto engine = load_in(worker, order, std::move(keeper), [](const LoadProgress&) {}, {});
  EXPECT_TRUE(engine) << engine.error().message;
  return std::move(*engine);
}

std::string read_all(Reply& reply) {
  std::string all, chunk;
  for (bool more = true; more;) {
    more = reply.next(chunk);
    all += chunk;
  }
  return all;
}

TEST(RemoteEngine, AnswersAsTheOneInTheWorker) {
  const auto worker = std::make_shared<ThreadWorker>(
      [](Request& request) { return Script{.body = request.method + request.path + request.body}; });
  std::vector<double> progress;
  auto engine = load_in(worker, order_of(), nullptr,
                        [&](const LoadProgress& news) { progress.push_back(news.value); }, {});
  ASSERT_TRUE(engine);
  EXPECT_THAT(progress, ElementsAre(0.5, 1));
  EXPECT_EQ((*engine)->info_json(), R"({"id":"m"})");
  EXPECT_EQ((*engine)->props_json(), R"({"p":1})");
  const auto reply = (*engine)->handle(post("/x", "body"));
  EXPECT_EQ(reply->status(), 200);
  EXPECT_EQ(reply->content_type(), "text/plain");
  EXPECT_EQ(reply->headers().at("x"), "y");
  EXPECT_EQ(reply->take_body(), "POST/xbody");
  EXPECT_EQ(reply->failure(), nullptr);
  EXPECT_EQ((*engine)->sample(std::chrono::milliseconds(3)).prompt_tokens, 3U);
  EXPECT_EQ((*engine)->sample(std::chrono::milliseconds(3)).predicted_seconds, 1.5);
  EXPECT_TRUE((*engine)->probe(std::chrono::milliseconds(2)));
  EXPECT_EQ((*engine)->probe(std::chrono::milliseconds(1)).error().message, "too short");
  EXPECT_EQ((*engine)->weights()->release_pages(), ByteSize::mib(5));
  ASSERT_NE((*engine)->activity(), nullptr);
  EXPECT_TRUE(board().place_of(*(*engine)->activity())) << "the very one that its loop tells its beats";
}

TEST(RemoteEngine, ALoadThatFailsBringsItsError) {
  const auto worker = std::make_shared<ThreadWorker>([](Request&) { return Script{}; });
  LoadOrder order = order_of();
  order.spec.args["bad"] = "1";
  const auto engine = load_in(worker, order, nullptr, [](const LoadProgress&) {}, {});
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kCorruptFile);
  EXPECT_EQ(engine.error().cause, "very");
}

/// Whatever the pieces and whoever reads first: each stream is its own and whole.
TEST(RemoteEngine, InterleavedStreamsArriveWhole) {
  const auto worker = std::make_shared<ThreadWorker>([](Request& request) {
    std::mt19937 random(static_cast<unsigned>(std::stoul(request.body)));
    Script script;
    for (unsigned left = 1 + random() % 40; left > 0; --left)
      script.pieces.push_back(request.body + ":" + std::string(random() % 9'000, 'x') + ";");
    return script;
  });
  const auto engine = load(worker);
  std::vector<std::thread> readers;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < 24; ++i) {
    readers.emplace_back([&, seed = std::to_string(i)] {
      std::mt19937 random(static_cast<unsigned>(std::stoul(seed)));
      std::string expected;
      for (unsigned left = 1 + random() % 40; left > 0; --left)
        expected += seed + ":" + std::string(random() % 9'000, 'x') + ";";
      const auto reply = engine->handle(post("/", seed));
      if (read_all(*reply) != expected || reply->failure() != nullptr) ++wrong;
    });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
}

TEST(RemoteEngine, WhatNobodyReadsIsNotMade) {
  std::atomic<int> made = 0;
  const auto worker = std::make_shared<ThreadWorker>([&](Request& request) {
    Script script{.pieces =
                      std::vector<std::string>(request.body == "long" ? 2'000 : 1, std::string(10'000, 'x'))};
    if (request.body == "long") script.before_piece = [&] { ++made; };
    return script;
  });
  const auto engine = load(worker);
  const auto unread = engine->handle(post("/", "long"));
  const auto other = engine->handle(post("/", "short"));
  EXPECT_EQ(read_all(*other).size(), 10'000U);
  EXPECT_LT(made, 400) << "what the socket's buffer takes";
  EXPECT_EQ(read_all(*unread).size(), 20'000'000U);
}

TEST(RemoteEngine, AStopTravelsAndIsNoFailure) {
  const auto worker = std::make_shared<ThreadWorker>([](Request& request) {
    while (!request.should_stop()) std::this_thread::yield();
    return Script{.body = "stopped"};
  });
  const auto engine = load(worker);
  std::atomic<int> asked = 0;
  Request request = post();
  request.should_stop = [&] { return ++asked > 1; };
  const auto reply = engine->handle(std::move(request));
  EXPECT_EQ(reply->take_body(), "stopped");
  EXPECT_EQ(reply->failure(), nullptr);
}

TEST(RemoteEngine, AStoppedStreamEndsWithoutFailure) {
  std::atomic<bool> stop = false;
  const auto worker = std::make_shared<ThreadWorker>([&](Request& request) {
    return Script{.pieces = {"first", "never"},
                  .before_piece = [&, n = 0, should_stop = request.should_stop]() mutable {
                    while (n > 0 && !should_stop()) std::this_thread::yield();
                    ++n;
                  }};
  });
  const auto engine = load(worker);
  Request request = post();
  request.should_stop = [&] { return stop.load(); };
  const auto reply = engine->handle(std::move(request));
  std::string chunk;
  EXPECT_TRUE(reply->next(chunk));
  stop = true;
  while (reply->next(chunk)) {
  }
  EXPECT_EQ(reply->failure(), nullptr);
}

TEST(RemoteReply, AWorkerThatDiesBeforeItsAnswerIsAFailure) {
  const auto worker = std::make_shared<ManualWorker>();
  auto call = worker->calls.get_future();
  std::thread dying([&] {
    Channel channel = call.get();
    EXPECT_TRUE(channel.receive());
  });
  const auto reply = ask(worker, 1, post());
  dying.join();
  ASSERT_NE(reply->failure(), nullptr);
  EXPECT_EQ(reply->failure()->message, "it was ended by signal 11");
  EXPECT_EQ(reply->status(), 503);
  EXPECT_FALSE(reply->is_stream());
}

TEST(RemoteReply, AWorkerThatDiesInItsStreamIsAFailureAfterWhatCame) {
  const auto worker = std::make_shared<ManualWorker>();
  auto call = worker->calls.get_future();
  std::thread dying([&] {
    Channel channel = call.get();
    EXPECT_TRUE(channel.receive());
    EXPECT_TRUE(send(channel, ReplyHead{.status = 200, .is_stream = true}));
    const std::array blobs{as_blob("some")};
    EXPECT_TRUE(channel.send(Kind::kChunk, {}, blobs));
  });
  const auto reply = ask(worker, 1, post());
  dying.join();
  EXPECT_EQ(reply->failure(), nullptr);
  std::string chunk;
  EXPECT_TRUE(reply->next(chunk));
  EXPECT_EQ(chunk, "some");
  EXPECT_FALSE(reply->next(chunk));
  ASSERT_NE(reply->failure(), nullptr);
  EXPECT_EQ(reply->failure()->code, ErrorCode::kUnavailable);
  EXPECT_FALSE(reply->next(chunk));
}

TEST(RemoteReply, NonsenseIsAFailure) {
  const auto worker = std::make_shared<ManualWorker>();
  auto call = worker->calls.get_future();
  std::thread confused([&] {
    Channel channel = call.get();
    EXPECT_TRUE(channel.receive());
    EXPECT_TRUE(send(channel, Kind::kDone, 1));
  });
  const auto reply = ask(worker, 1, post());
  confused.join();
  ASSERT_NE(reply->failure(), nullptr);
  EXPECT_EQ(reply->failure()->code, ErrorCode::kInternal);
}

/// What happened to a store, seen from a test.
struct Kept {
  std::string asked_for;
  std::vector<std::int32_t> asked;
  std::vector<SlotState> put;
  std::size_t room = 0;
  int restored = 0;
};

class RecordingKeeper final : public SlotStateKeeper {
 public:
  explicit RecordingKeeper(Kept& kept) : kept_(kept) {}
  std::shared_ptr<const SlotState> find(const std::string& owner, const std::vector<std::int32_t>& tokens,
                                        std::size_t) override {
    kept_.asked_for = owner;
    kept_.asked = tokens;
    return state_;
  }
  bool make_room(std::size_t bytes) override {
    kept_.room = bytes;
    return true;
  }
  void put(SlotState state) override { kept_.put.push_back(std::move(state)); }
  void restored(const std::shared_ptr<const SlotState>& state, bool taken) override {
    EXPECT_EQ(state, state_);
    EXPECT_TRUE(taken);
    ++kept_.restored;
  }

 private:
  Kept& kept_;
  const std::shared_ptr<const SlotState> state_ = std::make_shared<const SlotState>(state_of({1, 2}, {5}));
};

TEST(RemoteEngine, ItsConversationsAreTheServers) {
  const auto worker = std::make_shared<ThreadWorker>([](Request&) { return Script{}; });
  Kept kept;
  auto engine = load(worker, std::make_unique<RecordingKeeper>(kept));
  EXPECT_EQ(kept.asked_for, "k1");
  EXPECT_THAT(kept.asked, ElementsAre(1, 2, 3));
  EXPECT_EQ(kept.restored, 1);
  engine.reset();  // hands over what it holds, and its end waits for that
  EXPECT_EQ(kept.room, 3U);
  ASSERT_EQ(kept.put.size(), 1U);
  EXPECT_THAT(kept.put[0].tokens, ElementsAre(7, 8, 9));
  EXPECT_EQ(kept.put[0].main, Bytes({1, 2, 3}));
}

class WorkersTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Engine>> load(const std::string& model, std::stop_token stop = {}) {
    return workers_.load(order_of(model), nullptr, [](const LoadProgress&) {}, stop);
  }
  std::vector<std::string> started_;
  std::vector<std::weak_ptr<ThreadWorker>> made_;
  Workers workers_{[this](const std::string& name, const WorkerLimits&) -> Result<std::shared_ptr<Worker>> {
    started_.push_back(name);
    auto worker = std::make_shared<ThreadWorker>([](Request&) { return Script{.body = "ok"}; });
    made_.push_back(worker);
    return worker;
  }};
};

TEST_F(WorkersTest, AVersionHasOneForAsLongAsSomethingOfItIsInMemory) {
  auto a = load("a");
  const auto b = load("b");
  ASSERT_TRUE(a && b);
  EXPECT_THAT(started_, ElementsAre("a@1", "b@1"));
  auto weights = (*a)->weights();
  a->reset();  // parked
  a = load("a");
  EXPECT_EQ(started_.size(), 2U) << "the weights are in the first one";
  weights.reset();
  a->reset();
  EXPECT_TRUE(made_[0].expired());
  a = load("a");
  EXPECT_EQ(started_.size(), 3U);
}

TEST_F(WorkersTest, OneThatHasDiedIsNotAskedAgain) {
  const auto a = load("a");
  {
    const auto first = made_[0].lock();
    ASSERT_NE(first, nullptr);
    first->kill();
  }
  EXPECT_TRUE((*a)->weights()->lost().stop_requested());
  const auto again = load("a");
  ASSERT_TRUE(again);
  EXPECT_EQ(started_.size(), 2U);
  EXPECT_EQ((*again)->handle(post())->take_body(), "ok");
}

TEST_F(WorkersTest, AStopEndsTheProcessThatWasStartedForTheLoad) {
  std::stop_source stop;
  stop.request_stop();
  const auto a = load("a", stop.get_token());
  EXPECT_EQ(made_[0].expired() ? 1 : made_[0].lock()->kills.load(), 1);
  if (!a) {
    EXPECT_EQ(a.error().code, ErrorCode::kCancelled);
  }
}

TEST_F(WorkersTest, StreamsAreFoundWhereTheyAre) {
  const auto routes = make_shared_routes(std::make_unique<ScriptedRoutes>("server"), workers_);
  const auto get = [&](const std::string& conversation) {
    Request request;
    request.method = "GET";
    request.path = "/v1/stream";
    request.params["conv_id"] = conversation;
    const auto reply = routes->handle(std::move(request));
    return std::to_string(reply->status()) + " " + reply->take_body();
  };
  const auto look_up = [&] { return routes->handle(post("/v1/streams/lookup"))->take_body(); };
  EXPECT_EQ(get("worker"), "404 ");
  EXPECT_EQ(look_up(), R"(["server"])");
  const auto a = load("a");
  EXPECT_EQ(get("worker"), "200 stream of worker");
  EXPECT_EQ(get("server"), "200 stream of server");
  EXPECT_EQ(get("none"), "404 ");
  EXPECT_EQ(look_up(), R"(["server","worker"])");
}

}  // namespace
}  // namespace switchyard::engine::worker
