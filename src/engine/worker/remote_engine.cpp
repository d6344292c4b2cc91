#include "engine/worker/remote_engine.h"

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "engine/worker/kept_states.h"
#include "engine/worker/remote_reply.h"

namespace switchyard::engine::worker {
namespace {

/// An engine that has not ended after so long is stuck: its process is killed.
constexpr std::chrono::seconds kEndsWithin{30};
constexpr std::chrono::milliseconds kAnswersWithin{20};  ///< beyond what a caller has patience for

/// Asks and waits for the one answer. Errors: kUnavailable, kTimeout.
Result<Message> call(Worker& worker, Kind kind, std::uint64_t engine, std::chrono::milliseconds within,
                     std::uint64_t number = 0) {
  auto channel = worker.open();
  if (!channel) return std::unexpected(channel.error());
  if (!send(*channel, kind, engine, number)) return std::unexpected(worker.why_silent());
  if (!channel->readable(within)) return fail(ErrorCode::kTimeout, "the worker process does not answer");
  auto answer = channel->receive();
  if (!answer) return std::unexpected(worker.why_silent());
  return answer;
}

class RemoteWeights final : public Weights {
 public:
  RemoteWeights(std::shared_ptr<Worker> worker, std::uint64_t engine)
      : worker_(std::move(worker)), engine_(engine) {}
  ~RemoteWeights() override {
    // The process may live on, for a reply to whoever reads a stream of it, but not with the weights.
    if (worker_->usable() && !call(*worker_, Kind::kEndWeights, engine_, kEndsWithin)) worker_->kill();
  }
  RemoteWeights(const RemoteWeights&) = delete;
  RemoteWeights& operator=(const RemoteWeights&) = delete;

  ByteSize release_pages() override {
    const auto answer = call(*worker_, Kind::kReleasePages, engine_, kEndsWithin);
    const auto bytes = answer ? read_numbers(*answer) : std::unexpected(answer.error());
    return bytes ? ByteSize(bytes->first) : ByteSize();
  }
  [[nodiscard]] std::stop_token lost() const override { return worker_->died(); }
  [[nodiscard]] Error why_lost() const override { return worker_->why(); }
  void abandon() override { worker_->kill(); }

 private:
  const std::shared_ptr<Worker> worker_;
  const std::uint64_t engine_;
};

class RemoteEngine final : public Engine {
 public:
  RemoteEngine(std::shared_ptr<Worker> worker, Loaded loaded, Channel channel, KeeperHost keeper)
      : worker_(std::move(worker)),
        loaded_(std::move(loaded)),
        weights_(std::make_shared<RemoteWeights>(worker_, loaded_.engine)) {
    if (!keeper.keeps()) return;
    keeping_ = std::thread([channel = std::move(channel), keeper = std::move(keeper)]() mutable {
      for (auto question = channel.receive(); question; question = channel.receive()) {
        if (!keeper.answer(std::move(*question), channel)) break;
      }
    });
  }
  ~RemoteEngine() override {
    if (worker_->usable() && !call(*worker_, Kind::kEndEngine, loaded_.engine, kEndsWithin)) worker_->kill();
    if (keeping_.joinable()) keeping_.join();
  }
  RemoteEngine(const RemoteEngine&) = delete;
  RemoteEngine& operator=(const RemoteEngine&) = delete;

  [[nodiscard]] std::unique_ptr<Reply> handle(Request request) override {
    return ask(worker_, loaded_.engine, std::move(request));
  }
  [[nodiscard]] EngineSample sample(std::chrono::milliseconds patience) override EXCLUDES(mutex_) {
    const auto answer = call(*worker_, Kind::kSample, loaded_.engine, patience + kAnswersWithin,
                             static_cast<std::uint64_t>(patience.count()));
    const auto now = answer ? read_sample(*answer) : std::unexpected(answer.error());
    const MutexLock lock(mutex_);
    if (now) last_sample_ = *now;
    return last_sample_;
  }
  [[nodiscard]] std::string info_json() const override { return loaded_.info_json; }
  [[nodiscard]] std::string props_json() override { return loaded_.props_json; }
  [[nodiscard]] std::shared_ptr<Weights> weights() override { return weights_; }
  [[nodiscard]] Status probe(std::chrono::milliseconds bound) override {
    const auto answer = call(*worker_, Kind::kProbe, loaded_.engine, bound + kAnswersWithin,
                             static_cast<std::uint64_t>(bound.count()));
    if (!answer) return std::unexpected(answer.error());
    return answer->kind == Kind::kDone ? Status() : std::unexpected(read_error(*answer));
  }
  [[nodiscard]] std::shared_ptr<const LoopActivity> activity() const override {
    return loaded_.activity ? worker_->activity(*loaded_.activity) : nullptr;
  }
  [[nodiscard]] bool abort(std::chrono::milliseconds) override {
    worker_->kill();
    return true;
  }

 private:
  const std::shared_ptr<Worker> worker_;
  const Loaded loaded_;
  const std::shared_ptr<RemoteWeights> weights_;
  std::thread keeping_;  // answers the engine's questions for conversations
  Mutex mutex_;
  EngineSample last_sample_ GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<Engine>> load_in(std::shared_ptr<Worker> worker, const LoadOrder& order,
                                        std::unique_ptr<SlotStateKeeper> keeper,
                                        const std::function<void(const LoadProgress&)>& progress,
                                        const std::stop_token& stop) {
  auto channel = worker->open();
  if (!channel) return std::unexpected(channel.error());
  if (!send(*channel, order)) return std::unexpected(worker->why_silent());
  KeeperHost host(std::move(keeper));
  std::optional<std::stop_callback<std::function<void()>>> give_up;
  give_up.emplace(stop, [&] { channel->hang_up(); });
  for (;;) {
    auto message = channel->receive();
    if (!message) return std::unexpected(worker->why_silent());
    if (message->kind == Kind::kError) return std::unexpected(read_error(*message));
    if (message->kind == Kind::kProgress) {
      const auto news = read_progress(*message);
      if (!news) return std::unexpected(news.error());
      progress(*news);
    } else if (message->kind == Kind::kLoaded) {
      auto loaded = read_loaded(*message);
      if (!loaded) return std::unexpected(loaded.error());
      give_up.reset();
      return std::make_unique<RemoteEngine>(std::move(worker), std::move(*loaded), std::move(*channel),
                                            std::move(host));
    } else if (const Status answered = host.answer(std::move(*message), *channel); !answered) {
      return std::unexpected(answered.error());
    }
  }
}

}  // namespace switchyard::engine::worker
