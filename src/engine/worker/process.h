#pragma once

#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "engine/worker/busy_board.h"
#include "engine/worker/codec.h"
#include "engine/worker/worker.h"

namespace switchyard::engine::worker {

/// `switchyard worker` as a child: in a process group of its own, with no file of ours but its control
/// socket, its log passed on into ours. It dies with this process, however that ends.
class WorkerProcess final : public Worker {
 public:
  struct Launch {
    std::string program;
    std::string name;  ///< "model@version": stands before its log lines
    BusyBoard& board;  ///< that it joins; must outlive every worker
  };
  /// Blocks until it is ready. Errors: kInternal when it cannot be started, kUnavailable when it dies at
  /// once, what it says of its order.
  [[nodiscard]] static Result<std::shared_ptr<Worker>> start(const Launch& launch, const StartOrder& order);
  /// Lets it end, kills it after 10 s, and waits for it.
  ~WorkerProcess() override;
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  [[nodiscard]] Result<Channel> open() override EXCLUDES(control_mutex_);
  [[nodiscard]] std::stop_token died() const override;
  [[nodiscard]] Error why() const override;
  [[nodiscard]] Error why_silent() const override;
  void kill() override;
  [[nodiscard]] std::shared_ptr<const LoopActivity> activity(std::uint64_t place) const override;
  [[nodiscard]] bool usable() const override;

 private:
  struct Child;
  WorkerProcess(std::shared_ptr<Child> child, Channel control);

  const std::shared_ptr<Child> child_;
  Mutex control_mutex_;
  Channel control_ GUARDED_BY(control_mutex_);
  std::thread watcher_;
};

}  // namespace switchyard::engine::worker
