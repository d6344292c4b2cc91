#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "alerts/monitor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "switchyard/result.h"
#include "webhook/retry.h"

namespace switchyard::webhook {

/// Where notifications go. post() from one thread, cancel() from any.
class Post {
 public:
  using Headers = std::map<std::string, std::string>;
  virtual ~Post() = default;
  /// The status of the answer. Blocks, at most for its own timeout. Errors: kUnavailable, no answer.
  [[nodiscard]] virtual Result<int> post(const Headers& headers, const std::string& body) = 0;
  /// Ends a post() in progress.
  virtual void cancel() = 0;
};

struct SenderOptions {
  std::string secret = {};  ///< signs the bodies; empty: they are not signed
  RetryPolicy retry = {};
  std::size_t most_queued = 64;
};

/// Sends bodies in order, one at a time, each again until it is taken or given up (see retry.h), on a
/// thread of its own. Any thread.
///
/// Headers of each: `X-Switchyard-Signature` (see signature.h) where there is a secret, and
/// `X-Switchyard-Delivery`, a number of this process that is the same for all attempts at one body.
class Sender {
 public:
  Sender(std::unique_ptr<Post> post, SenderOptions options);
  /// Ends at once; what is still queued is lost, and said so in the log.
  ~Sender();
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  /// Never blocks. Beyond `most_queued` the new one is dropped and counted.
  void send(std::string body) EXCLUDES(mutex_);
  [[nodiscard]] alerts::Delivery stats() const EXCLUDES(mutex_);
  /// Blocks until nothing is queued; for tests.
  void wait_idle() EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);
  /// True when it was taken; false when it was given up or the end came.
  bool deliver(const std::string& body, std::uint64_t number) EXCLUDES(mutex_);
  /// False when the end came meanwhile.
  bool pause(Duration duration) EXCLUDES(mutex_);

  const std::unique_ptr<Post> post_;
  const SenderOptions options_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<std::string> queue_ GUARDED_BY(mutex_);
  alerts::Delivery stats_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace switchyard::webhook
