// Compiled in llama.cpp's server-context library in the place of tools/server/server-queue.cpp
// (cmake/Llama.cmake). Whoever waits for a reply is asked every now and then whether it still wants it: after
// a second in which no result of the engine has come, for whomever. Beside others' replies that second never
// passes, and a client that has left or whose time is over keeps its slot to the end of its reply.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "log.h"
#include "server-queue.h"
#include "server-task.h"

namespace switchyard::engine {
namespace {

constexpr std::chrono::milliseconds kPoll{100};

/// How long this thread may wait until it is asked again; 0: it is to be asked now.
std::chrono::milliseconds until_next_poll() {
  thread_local std::chrono::steady_clock::time_point asked;
  const auto now = std::chrono::steady_clock::now();
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now - asked);
  if (since < kPoll) return kPoll - since;
  asked = now;
  return std::chrono::milliseconds(0);
}

/// The condition that all who wait for results share.
class PolledCondition {
 public:
  explicit PolledCondition(std::condition_variable& condition) : condition_(condition) {}
  void notify_all() { condition_.notify_all(); }
  template <typename Predicate>
  void wait(std::unique_lock<std::mutex>& lock, Predicate predicate) {
    condition_.wait(lock, std::move(predicate));
  }
  template <typename Time>
  std::cv_status wait_for(std::unique_lock<std::mutex>& lock, Time /*a second*/) {
    return condition_.wait_for(lock, until_next_poll());
  }

 private:
  std::condition_variable& condition_;
};

}  // namespace
}  // namespace switchyard::engine

#define condition_results switchyard::engine::PolledCondition(this->condition_results)
#include "server-queue.cpp"
