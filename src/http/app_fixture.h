#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "gateway/scripted_engine.h"
#include "http/app.h"
#include "http/front/target.h"
#include "http/json.h"
#include "models/manager.h"

// For tests only: the App over a real manager, scripted engines and exchanges without sockets.

namespace switchyard::http::testing {

/// Keeps what it was answered. The reader is slow when the test says so.
class FakeExchange final : public Exchange {
 public:
  explicit FakeExchange(Request request) : request_(std::move(request)) {}

  [[nodiscard]] const Request& request() const override { return request_; }
  void respond(Response response) override {
    end([&] { reply_ = std::move(response); });
  }
  void start_stream(Response head) override {
    change([&] {
      reply_ = std::move(head);
      reply_->body.clear();
    });
  }
  bool write(std::string bytes) override {
    change([&] { reply_->body += bytes; });
    const std::scoped_lock lock(mutex_);
    return !slow_;
  }
  void when_writable(std::function<void()> resume) override {
    change([&] { resume_ = std::move(resume); });
  }
  void finish() override {
    end([&] { finished_ = true; });
  }
  void abort() override {
    end([&] { aborted_ = true; });
  }
  [[nodiscard]] bool client_gone() const override {
    const std::scoped_lock lock(mutex_);
    return gone_;
  }
  void on_client_gone(std::function<void()> callback) override {
    {
      const std::scoped_lock lock(mutex_);
      if (!gone_) {
        on_gone_.push_back(std::move(callback));
        return;
      }
    }
    callback();
  }

  /// The client closes its end.
  void leave() {
    std::vector<std::function<void()>> callbacks;
    std::function<void()> resume;
    change([&] {
      gone_ = true;
      callbacks = std::move(on_gone_);
      resume = std::move(resume_);
    });
    for (const auto& callback : callbacks) callback();
    if (resume) resume();
  }
  void read_slowly(bool slow) {
    std::function<void()> resume;
    change([&] {
      slow_ = slow;
      if (!slow) resume = std::exchange(resume_, nullptr);
    });
    if (resume) resume();
  }

  /// Waits for the whole answer.
  Response answer() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return over_; });
    return reply_.value_or(Response{.status = 0, .content_type = {}, .body = {}});
  }
  /// Waits until the reply holds `text`.
  void wait_for(const std::string& text) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return reply_ && reply_->body.find(text) != std::string::npos; });
  }
  void wait_until_paused() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return resume_ != nullptr; });
  }
  [[nodiscard]] bool over() const {
    const std::scoped_lock lock(mutex_);
    return over_;
  }
  [[nodiscard]] bool finished() const {
    const std::scoped_lock lock(mutex_);
    return finished_;
  }
  [[nodiscard]] bool aborted() const {
    const std::scoped_lock lock(mutex_);
    return aborted_;
  }

 private:
  void change(auto f) {
    const std::scoped_lock lock(mutex_);
    f();
    changed_.notify_all();
  }
  void end(auto f) {
    std::function<void()> resume;  // nobody waits for room in what has ended
    change([&] {
      EXPECT_FALSE(over_) << "answered twice";
      f();
      over_ = true;
      resume = std::exchange(resume_, nullptr);
    });
    if (resume) resume();
  }

  const Request request_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Response> reply_;
  std::function<void()> resume_;
  std::vector<std::function<void()>> on_gone_;
  bool over_ = false, finished_ = false, aborted_ = false, slow_ = false, gone_ = false;
};
using FakeExchangePtr = std::shared_ptr<FakeExchange>;

inline Request request_for(std::string method, const std::string& target, std::string body = {},
                           Headers headers = {}) {
  auto parsed = *parse_target(target);
  Request request;
  request.method = std::move(method);
  request.target = target;
  request.path = parsed.path;
  request.raw_path = parsed.raw_path;
  request.raw_query = parsed.raw_query;
  request.query = parsed.query;
  request.headers = std::move(headers);
  request.body = std::move(body);
  return request;
}

/// Models "a" and "b" (two versions) behind an App.
class AppTest : public ::testing::Test {
 protected:
  /// `slots`: of each engine; 0: it does not say.
  explicit AppTest(std::uint32_t slots = 0) : slots_(slots) {}
  void SetUp() override { restart(AppOptions()); }

  [[nodiscard]] std::unique_ptr<App> make_app(AppOptions options) {
    return std::make_unique<App>(App::Dependencies{.manager = *manager_,
                                                   .events = events_,
                                                   .switcher = *switcher_,
                                                   .canaries = canaries_,
                                                   .shadows = shadows_,
                                                   .monitor = monitor_,
                                                   .tenants = tenants_,
                                                   .experiments = recorder_,
                                                   .process_routes = process_routes_.get()},
                                 std::move(options));
  }
  void restart(AppOptions options) {
    app_.reset();
    app_ = make_app(std::move(options));
    app_->set_ready();
  }

  FakeExchangePtr begin(std::string method, const std::string& target, std::string body = {},
                        Headers headers = {}) {
    auto exchange = std::make_shared<FakeExchange>(
        request_for(std::move(method), target, std::move(body), std::move(headers)));
    app_->handler()(exchange);
    return exchange;
  }
  Response ask(std::string method, const std::string& target, std::string body = {}, Headers headers = {}) {
    return begin(std::move(method), target, std::move(body), std::move(headers))->answer();
  }
  static Json json(const Response& response) { return Json::parse(response.body); }
  static std::string error_type(const Response& response) { return json(response)["error"]["type"]; }

  void load(const std::string& name) { ASSERT_TRUE(manager_->acquire_blocking(*manager_->resolve(name))); }

  /// What engines answer; set before the first request.
  gateway::testing::Answer answer_ = [](engine::Request& request) {
    return gateway::testing::Script{.body = R"({"path":")" + request.path + R"("})"};
  };

  /// Loads wait, after load_began_, for let_load_.
  void hold_loads() {
    loader_.during_load = [this] {
      if (!load_began_.try_wait()) load_began_.count_down();
      let_load_.wait();
      return Status();
    };
  }
  std::latch load_began_{1};  // members: the loading thread may still look at them when a test ends
  std::latch let_load_{1};

  telemetry::EventBus events_;
  const std::uint32_t slots_;
  gateway::testing::ScriptedLoader loader_{[this](engine::Request& request) { return answer_(request); },
                                           slots_};
  ThreadPool work_{"test-work", 16};
  std::unique_ptr<models::Manager> manager_ = make_manager();
  store::StateDatabase state_;
  std::unique_ptr<traffic::Switcher> switcher_ = make_switcher();
  traffic::Canaries canaries_{
      {.switcher = *switcher_, .executor = work_, .events = events_, .state = state_}};
  traffic::Shadows shadows_{{.switcher = *switcher_, .events = events_, .state = state_}};
  FakeClock minutes_;  ///< of limits
  tenants::Tenants tenants_{state_, minutes_};
  health::Monitor monitor_{
      {.manager = *manager_, .executor = work_, .events = events_, .random = [] { return 0.0; }}};
  experiments::Recorder recorder_{{.state = state_}};
  std::unique_ptr<engine::ProcessRoutes> process_routes_;
  std::unique_ptr<App> app_;

 private:
  std::unique_ptr<traffic::Switcher> make_switcher() {
    auto switcher = std::make_unique<traffic::Switcher>(traffic::Switcher::Dependencies{
        .manager = *manager_, .executor = work_, .events = events_, .state = state_});
    EXPECT_TRUE(switcher->define({{"chat", {"b", "1"}}}));
    return switcher;
  }
  std::unique_ptr<models::Manager> make_manager() {
    models::Limits limits;
    limits.memory_budget = ByteSize::gib(1);
    auto manager = std::make_unique<models::Manager>(
        models::Manager::Dependencies{.loader = loader_, .executor = work_, .events = events_}, limits);
    EXPECT_TRUE(
        manager->set_catalog({gateway::testing::model_called("a"), gateway::testing::model_called("b", 2)},
                             models::Manager::Preload::kNone));
    return manager;
  }
};

}  // namespace switchyard::http::testing
