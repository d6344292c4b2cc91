#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "engine/api/engine.h"
#include "models/types.h"

// For tests only: engines and loaders that do what they are told.

namespace switchyard::models::testing {

/// What happened to fakes, and what they are to do next. Any thread. Keyed by model id.
class FakeWorld {
 private:
  template <typename F>
  auto with(F f) const {
    const std::scoped_lock lock(mutex_);
    return f();
  }

 public:
  /// Applied to inspections and loads until changed; `none` = success.
  void fail_inspection(const std::string& model, std::optional<Error> error) {
    with([&] { bad_files_[model] = std::move(error); });
  }
  void fail_load(const std::string& model, std::optional<Error> error) {
    with([&] { bad_loads_[model] = std::move(error); });
  }
  void set_inspection(const std::string& model, engine::Inspection inspection) {
    with([&] { inspections_[model] = std::move(inspection); });
  }
  /// From now on parking gives private copies back, too.
  void drop_copies() { drops_copies_ = true; }
  /// Called inside load() on its thread, before its outcome is decided: a latch, a clock's advance.
  void during_load(std::function<void(const std::string&, std::stop_token)> hook) {
    with([&] { hook_ = std::move(hook); });
  }

  /// Called at the end of a load that has succeeded, when its engine is there.
  void after_load(std::function<void(const std::string&)> hook) {
    with([&] { after_ = std::move(hook); });
  }

  /// Engines that abort() does not end.
  void get_stuck(const std::string& model, bool stuck) {
    with([&] { stuck_[model] = stuck; });
  }

  /// What probes of its engines do, on their thread.
  void answer_probes(const std::string& model, std::function<Status()> answer) {
    with([&] { probes_[model] = std::move(answer); });
  }
  Status probed(const std::string& model) {
    const auto answer = with([&] {
      ++probe_counts_[model];
      return probes_[model];
    });
    return answer ? answer() : Status{};
  }
  int probes(const std::string& model) const {
    return with([&] { return count(probe_counts_, model); });
  }
  /// That of its engines, for a test to beat.
  std::shared_ptr<engine::LoopActivity> activity(const std::string& model) {
    return with([&] {
      auto& activity = activities_[model];
      if (activity == nullptr) activity = std::make_shared<engine::LoopActivity>();
      return activity;
    });
  }
  /// The weights of a model that are in memory now are gone, as when a process dies.
  void lose(const std::string& model) {
    auto lost = with([&] { return std::exchange(lost_[model], std::stop_source()); });
    lost.request_stop();
  }

  int loads(const std::string& model) const {
    return with([&] { return count(loads_, model); });
  }
  int inspections(const std::string& model) const {
    return with([&] { return count(inspected_, model); });
  }
  int alive(const std::string& model) const {
    return with([&] { return count(alive_, model); });
  }
  std::vector<std::string> forgotten() const {
    return with([&] { return forgotten_; });
  }
  /// Keys of weights that were given up.
  std::vector<std::string> abandoned() const {
    return with([&] { return abandoned_; });
  }
  std::vector<std::string> prefetched() const {
    return with([&] { return prefetched_; });
  }
  int pages_released() const { return pages_released_; }
  /// Uses of engines that were already destroyed, loads at once of one version and the like.
  int wrongs() const { return wrongs_; }

 private:
  friend class FakeEngine;
  friend class FakeWeights;
  friend class FakeLoader;
  static int count(const std::map<std::string, int>& map, const std::string& key) {
    const auto found = map.find(key);
    return found == map.end() ? 0 : found->second;
  }

  mutable std::mutex mutex_;
  std::map<std::string, std::optional<Error>> bad_files_, bad_loads_;
  std::map<std::string, engine::Inspection> inspections_;
  std::function<void(const std::string&, std::stop_token)> hook_;
  std::function<void(const std::string&)> after_;
  std::map<std::string, int> loads_, inspected_, alive_;
  std::map<std::string, bool> stuck_;
  std::map<std::string, std::function<Status()>> probes_;
  std::map<std::string, int> probe_counts_;
  std::map<std::string, std::shared_ptr<engine::LoopActivity>> activities_;
  std::map<std::string, std::stop_source> lost_;
  std::map<std::string, int> engines_by_key_;
  std::set<std::string> loading_;
  std::vector<std::string> forgotten_, prefetched_, abandoned_;
  std::atomic<int> pages_released_ = 0;
  std::atomic<bool> drops_copies_ = false;
  std::atomic<int> wrongs_ = 0;
};

class FakeWeights final : public engine::Weights {
 public:
  FakeWeights(FakeWorld& world, const std::string& model, std::string key)
      : world_(world),
        key_(std::move(key)),
        lost_(world_.with([&] { return world_.lost_[model].get_token(); })) {}
  ByteSize release_pages() override {
    ++world_.pages_released_;
    if (world_.with([&] { return FakeWorld::count(world_.engines_by_key_, key_); }) != 0) ++world_.wrongs_;
    return ByteSize::mib(1);
  }
  [[nodiscard]] bool copies_dropped() const override { return world_.drops_copies_; }
  [[nodiscard]] std::stop_token lost() const override { return lost_; }
  [[nodiscard]] Error why_lost() const override { return {ErrorCode::kUnavailable, "its process died"}; }
  void abandon() override {
    world_.with([&] { world_.abandoned_.push_back(key_); });
  }

 private:
  FakeWorld& world_;
  const std::string key_;
  const std::stop_token lost_;
};

class FakeEngine final : public engine::Engine {
 public:
  FakeEngine(FakeWorld& world, std::string model, std::string key)
      : world_(world),
        model_(std::move(model)),
        key_(std::move(key)),
        weights_(std::make_shared<FakeWeights>(world, model_, key_)) {
    world_.with([&] { ++world_.alive_[model_]; });
  }
  ~FakeEngine() override {
    if (users_ != 0) ++world_.wrongs_;
    world_.with([&] {
      --world_.alive_[model_];
      --world_.engines_by_key_[key_];
    });
  }
  FakeEngine(const FakeEngine&) = delete;
  FakeEngine& operator=(const FakeEngine&) = delete;

  [[nodiscard]] std::unique_ptr<engine::Reply> handle(engine::Request) override { return nullptr; }
  [[nodiscard]] engine::EngineSample sample(std::chrono::milliseconds) override { return {}; }
  [[nodiscard]] std::string info_json() const override { return "{\"id\":\"" + model_ + "\"}"; }
  [[nodiscard]] std::string props_json() override { return "{}"; }
  [[nodiscard]] std::shared_ptr<engine::Weights> weights() override { return weights_; }

  [[nodiscard]] Status probe(std::chrono::milliseconds) override { return world_.probed(model_); }
  [[nodiscard]] std::shared_ptr<const engine::LoopActivity> activity() const override { return activity_; }
  [[nodiscard]] bool abort(std::chrono::milliseconds) override {
    return world_.with([&] { return !world_.stuck_[model_]; });
  }

  /// For the time between them the engine must not be destroyed.
  void begin_use() { ++users_; }
  void end_use() { --users_; }

 private:
  FakeWorld& world_;
  const std::string model_;
  const std::string key_;
  const std::shared_ptr<engine::Weights> weights_;
  const std::shared_ptr<engine::LoopActivity> activity_ = world_.activity(model_);
  std::atomic<int> users_ = 0;
};

/// A model of `hot_mib` in all: a quarter of it stays while it is parked.
inline engine::Inspection inspection_of(const std::string& key, std::uint64_t hot_mib) {
  engine::Inspection inspection;
  inspection.weights_key = key;
  inspection.file_size = ByteSize::mib(hot_mib);
  inspection.need.items.push_back({.device = "host",
                                   .weights_mapped = ByteSize::mib(hot_mib / 2),
                                   .weights_private = {},
                                   .context = ByteSize::mib(hot_mib / 4),
                                   .compute = {},
                                   .vocabulary = ByteSize::mib(hot_mib / 4),
                                   .prompt_cache = {}});
  return inspection;
}

class FakeLoader final : public engine::EngineLoader {
 public:
  explicit FakeLoader(FakeWorld& world) : world_(world) {}

  [[nodiscard]] Result<engine::Inspection> inspect(const engine::ModelSpec& spec,
                                                   const engine::InspectOptions&,
                                                   std::stop_token stop) override {
    return world_.with([&]() -> Result<engine::Inspection> {
      if (stop.stop_requested()) return fail(ErrorCode::kCancelled, "the inspection was stopped");
      ++world_.inspected_[spec.model];
      if (const auto bad = world_.bad_files_.find(spec.model);
          bad != world_.bad_files_.end() && bad->second) {
        return std::unexpected(*bad->second);
      }
      const auto known = world_.inspections_.find(spec.model);
      return known != world_.inspections_.end() ? known->second
                                                : inspection_of(spec.model + "@" + spec.version, 100);
    });
  }

  [[nodiscard]] Result<std::unique_ptr<engine::Engine>> load(
      const engine::ModelSpec& spec, const engine::Inspection& inspection,
      const std::function<void(const engine::LoadProgress&)>& progress, std::stop_token stop) override {
    const std::string name = spec.model + "@" + spec.version;
    auto hook = world_.with([&] {
      ++world_.loads_[spec.model];
      ++world_.engines_by_key_[inspection.weights_key];
      if (!world_.loading_.insert(name).second) ++world_.wrongs_;
      return world_.hook_;
    });
    progress({"text_model", {"text_model", "warmup"}, 0.5});
    if (hook) hook(spec.model, stop);
    const auto error = world_.with([&]() -> std::optional<Error> {
      world_.loading_.erase(name);
      if (stop.stop_requested()) return Error{ErrorCode::kCancelled, "the load was cancelled"};
      const auto bad = world_.bad_loads_.find(spec.model);
      return bad == world_.bad_loads_.end() ? std::nullopt : bad->second;
    });
    if (error) {
      world_.with([&] { --world_.engines_by_key_[inspection.weights_key]; });
      return std::unexpected(*error);
    }
    progress({"warmup", {"text_model", "warmup"}, 1});
    auto engine = std::make_unique<FakeEngine>(world_, spec.model, inspection.weights_key);
    if (const auto after = world_.with([&] { return world_.after_; })) after(spec.model);
    return engine;
  }
  void prefetch(const engine::ModelSpec& spec, std::stop_token) override {
    world_.with([&] { world_.prefetched_.push_back(spec.model); });
  }
  void forget_all_but(const std::map<std::string, std::vector<std::string>>&) override {}
  void forget(const std::string& model, const std::string& version) override {
    world_.with([&] { world_.forgotten_.push_back(model + "@" + version); });
  }
  [[nodiscard]] engine::ConversationStats conversations() const override { return {}; }

 private:
  FakeWorld& world_;
};

/// Keeps tasks until it is told to run them; then, or after run_inline(), exact and single-threaded.
class ManualExecutor final : public Executor {
 public:
  void post(std::function<void()> task) override {
    if (inline_) return task();
    tasks_.push_back(std::move(task));
  }
  bool run_one() {
    if (tasks_.empty()) return false;
    const auto task = std::move(tasks_.front());
    tasks_.pop_front();
    task();
    return true;
  }
  void run_all() {
    while (run_one()) {
    }
  }
  /// Runs what is there and from now on everything at once.
  void run_inline() {
    inline_ = true;
    run_all();
  }
  [[nodiscard]] std::size_t size() const { return tasks_.size(); }

 private:
  std::deque<std::function<void()>> tasks_;
  bool inline_ = false;
};

inline ModelDefinition model_called(const std::string& id, ModelSettings settings = {}) {
  ModelDefinition model;
  model.id = id;
  model.versions.push_back({.model = id, .version = "1", .reply_name = id, .args = {{"model", "/m/" + id}}});
  model.source = "config";
  model.settings = settings;
  return model;
}

}  // namespace switchyard::models::testing
