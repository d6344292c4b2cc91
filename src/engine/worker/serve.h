#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>

#include "base/executor.h"
#include "base/mutex.h"
#include "engine/api/process_routes.h"
#include "engine/worker/codec.h"

namespace switchyard::engine::worker {

/// Where a worker finds its end of the control socket, and the server's BusyBoard where there is one.
constexpr int kControlSocket = 3, kBusyBoard = 4;

/// Makes the engines of a worker, in its process. Any thread.
class EngineSource {
 public:
  virtual ~EngineSource() = default;
  /// See EngineLoader::load.
  [[nodiscard]] virtual Result<std::unique_ptr<Engine>> load(
      const ModelSpec& spec, const Inspection& inspection, std::unique_ptr<SlotStateKeeper> keeper,
      const std::function<void(const LoadProgress&)>& progress, const std::stop_token& stop) = 0;
  [[nodiscard]] virtual ProcessRoutes& routes() = 0;
  /// Where the server finds it on the BusyBoard.
  [[nodiscard]] virtual std::optional<std::uint64_t> place_of(const LoopActivity& activity) const = 0;
};

/// The worker's side of all calls, each on a thread of its own. The destructor waits for those that run.
class Service {
 public:
  explicit Service(EngineSource& source) : source_(source) {}
  /// Takes calls over `control` until the server is gone. Blocks.
  void run(Channel& control);

 private:
  void serve(Channel channel) EXCLUDES(mutex_);
  void load(Channel channel, const Message& message) EXCLUDES(mutex_);
  void handle(Channel& channel, Message message) EXCLUDES(mutex_);
  void sample(Channel& channel, const Message& message) EXCLUDES(mutex_);
  void probe(Channel& channel, const Message& message) EXCLUDES(mutex_);
  void release_pages(Channel& channel, const Message& message) EXCLUDES(mutex_);
  void end_engine(Channel& channel, const Message& message) EXCLUDES(mutex_);
  void end_weights(Channel& channel, const Message& message) EXCLUDES(mutex_);
  [[nodiscard]] std::shared_ptr<Engine> engine(std::uint64_t id) EXCLUDES(mutex_);

  EngineSource& source_;
  Mutex mutex_;
  std::uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  std::map<std::uint64_t, std::shared_ptr<Engine>> engines_ GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::shared_ptr<Weights>> weights_ GUARDED_BY(mutex_);
  ThreadPool calls_{"calls", 8192};  // last: its tasks use what is above
};

}  // namespace switchyard::engine::worker
