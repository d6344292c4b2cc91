#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/api/engine.h"
#include "models/types.h"

// For tests only: engines that answer as a test says.

namespace switchyard::gateway::testing {

/// A reply with a given body, or a stream of given pieces.
struct Script {
  int status = 200;
  std::string content_type = "application/json; charset=utf-8";
  std::string body = {};
  std::map<std::string, std::string> headers = {};
  std::vector<std::string> pieces = {};                ///< not empty: a stream
  std::function<void(std::size_t)> before_piece = {};  ///< on the worker, before the n-th piece
  std::function<bool()> stop_early = {};               ///< asked after before_piece: the stream ends there
  std::optional<Error> failure =
      {};  ///< the engine is dead: from the beginning, or once a stream has stopped early
  std::function<void()> on_destroyed = {};
};

class ScriptedReply final : public engine::Reply {
 public:
  explicit ScriptedReply(Script script) : script_(std::move(script)) {}
  ~ScriptedReply() override {
    if (script_.on_destroyed) script_.on_destroyed();
  }
  ScriptedReply(const ScriptedReply&) = delete;
  ScriptedReply& operator=(const ScriptedReply&) = delete;

  [[nodiscard]] int status() const override { return script_.status; }
  [[nodiscard]] const std::string& content_type() const override { return script_.content_type; }
  [[nodiscard]] const std::map<std::string, std::string>& headers() const override { return script_.headers; }
  [[nodiscard]] bool is_stream() const override { return !script_.pieces.empty(); }
  [[nodiscard]] std::string take_body() override { return std::move(script_.body); }
  bool next(std::string& chunk) override {
    if (script_.before_piece) script_.before_piece(at_);
    if (script_.stop_early && script_.stop_early()) {
      stopped_ = true;
      return false;
    }
    chunk = script_.pieces[at_];
    return ++at_ < script_.pieces.size();
  }
  [[nodiscard]] const Error* failure() const override {
    return script_.failure && (stopped_ || !script_.stop_early) ? &*script_.failure : nullptr;
  }

 private:
  Script script_;
  std::size_t at_ = 0;
  bool stopped_ = false;
};

using Answer = std::function<Script(engine::Request&)>;

class ScriptedEngine final : public engine::Engine {
 public:
  ScriptedEngine(Answer answer, std::string model) : answer_(std::move(answer)), model_(std::move(model)) {}
  [[nodiscard]] std::unique_ptr<engine::Reply> handle(engine::Request request) override {
    ++calls_;
    return std::make_unique<ScriptedReply>(answer_(request));
  }
  [[nodiscard]] engine::EngineSample sample(std::chrono::milliseconds) override {
    return {.prompt_tokens = 10 * calls_, .predicted_tokens = 5 * calls_, .decode_calls = calls_};
  }
  [[nodiscard]] std::string info_json() const override {
    return R"({"id":")" + model_ + R"(","meta":{"n_ctx":64}})";
  }
  [[nodiscard]] std::string props_json() override { return R"({"model_alias":")" + model_ + R"("})"; }
  [[nodiscard]] std::shared_ptr<engine::Weights> weights() override {
    struct None final : engine::Weights {
      ByteSize release_pages() override { return {}; }
    };
    return std::make_shared<None>();
  }
  [[nodiscard]] Status probe(std::chrono::milliseconds) override { return {}; }

 private:
  const Answer answer_;
  const std::string model_;
  std::atomic<std::uint64_t> calls_ = 0;
};

/// Loads ScriptedEngines. `during_load` runs on the loading thread.
class ScriptedLoader final : public engine::EngineLoader {
 public:
  /// `slots`: of each engine; 0: it does not say.
  explicit ScriptedLoader(Answer answer, std::uint32_t slots = 0)
      : answer_(std::move(answer)), slots_(slots) {}
  std::function<Status()> during_load = [] { return Status(); };
  std::function<Status(const engine::ModelSpec&)> before_load = {};

  [[nodiscard]] Result<engine::Inspection> inspect(const engine::ModelSpec& spec,
                                                   const engine::InspectOptions&, std::stop_token) override {
    engine::Inspection inspection;
    inspection.weights_key = spec.model + "@" + spec.version;
    inspection.n_ctx = 64;
    inspection.n_slots = slots_;
    inspection.need.items.push_back({.device = "host",
                                     .weights_mapped = ByteSize::mib(1),
                                     .weights_private = {},
                                     .context = ByteSize::mib(1),
                                     .compute = {},
                                     .vocabulary = {},
                                     .prompt_cache = {}});
    return inspection;
  }
  [[nodiscard]] Result<std::unique_ptr<engine::Engine>> load(
      const engine::ModelSpec& spec, const engine::Inspection&,
      const std::function<void(const engine::LoadProgress&)>& progress, std::stop_token) override {
    progress({"text_model", {"text_model", "warmup"}, 0.5});
    if (before_load) {
      if (auto may = before_load(spec); !may) return std::unexpected(may.error());
    }
    if (auto loaded = during_load(); !loaded) return std::unexpected(loaded.error());
    return std::make_unique<ScriptedEngine>(answer_, spec.model);
  }
  void forget(const std::string&, const std::string&) override {}
  void prefetch(const engine::ModelSpec&, std::stop_token) override {}
  void forget_all_but(const std::map<std::string, std::vector<std::string>>&) override {}
  [[nodiscard]] engine::ConversationStats conversations() const override { return {}; }

 private:
  const Answer answer_;
  const std::uint32_t slots_;
};

inline models::ModelDefinition model_called(const std::string& id, int versions = 1) {
  models::ModelDefinition model;
  model.id = id;
  for (int i = 1; i <= versions; ++i) {
    const std::string version = std::to_string(i);
    std::string file = "/m/" + id;
    file += version;
    model.versions.push_back(
        {.model = id, .version = version, .reply_name = id, .args = {{"model", std::move(file)}}});
  }
  model.source = "config";
  return model;
}

}  // namespace switchyard::gateway::testing
