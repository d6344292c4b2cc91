#pragma once

#include <functional>
#include <memory>

#include "base/executor.h"

namespace switchyard {

/// Runs tasks one after another on an executor, in the order in which they were posted: what only
/// they touch needs no lock. Any thread may post.
class Strand final : public Executor {
 public:
  explicit Strand(Executor& executor);
  /// As finish().
  ~Strand() override;
  Strand(const Strand&) = delete;
  Strand& operator=(const Strand&) = delete;

  void post(std::function<void()> task) override;
  /// Runs `task` on this thread after what was posted before it. Blocks; never from a task.
  void call(const std::function<void()>& task);
  /// Runs what was posted on this thread and drops what is posted from then on. Blocks; never from a task.
  void finish();

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace switchyard
