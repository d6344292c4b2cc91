#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "http/front/body_budget.h"
#include "http/server.h"

namespace switchyard::http {

/// The answer to one request on its way from the threads that make it to the loop that sends it: a
/// queue of ready bytes with water marks. Producers call from any thread; the connection's side is for
/// the loop thread only. Callbacks run without the lock.
class Reply {
 public:
  struct Options {
    bool head_only = false;  ///< the request was HEAD
    bool http10 = false;     ///< no chunks
    bool keep_alive = true;  ///< what the client asked for
  };
  enum class End {
    kOpen,   ///< more may come
    kWhole,  ///< the reply is complete
    kCut,    ///< aborted or dropped: the client must see a cut
  };
  struct Output {
    std::string bytes;
    End end = End::kOpen;  ///< of what comes after `bytes`
  };
  static constexpr std::size_t kHighWater = 256 << 10;
  static constexpr std::size_t kLowWater = 64 << 10;

  /// `wake` makes the loop call woken() and take() soon; it must be callable from any thread and not block.
  Reply(Options options, std::function<void()> wake);

  // Producers: see Exchange.
  void respond(Response response);
  void start_stream(const Response& head);
  bool write(std::string_view bytes);
  void when_writable(std::function<void()> resume);
  void finish();
  void abort();
  /// Nobody can answer any more: a cut, unless the answer is complete.
  void drop();
  [[nodiscard]] bool client_gone() const;
  void on_client_gone(std::function<void()> callback);

  // The connection.
  /// Answers a wake.
  void woken();
  /// Everything queued since the last call.
  Output take();
  /// `bytes` of what was taken have gone out.
  void sent(std::size_t bytes);
  /// The client has closed its end; a whole response may still be sent.
  void set_gone();
  /// The connection ends after this reply.
  void close_after();
  /// No more take(): the connection is done with this reply. Producers' calls do nothing from here on.
  void detach();
  [[nodiscard]] bool cut_requested() const;
  /// Whether the connection closes after this reply, once it is complete.
  [[nodiscard]] bool closes() const;
  /// True when the client can only tell a cut by a reset: the body ends with the connection.
  [[nodiscard]] bool ends_by_close() const;

 private:
  enum class Phase { kWaiting, kStreaming, kEnded };

  void wake_locked() REQUIRES(mutex_);
  void end_locked(End end) REQUIRES(mutex_);
  [[nodiscard]] bool may_resume() const REQUIRES(mutex_);
  [[nodiscard]] std::function<void()> due_resume() REQUIRES(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  std::function<void()> wake_ GUARDED_BY(mutex_);  ///< empty once detached
  bool wake_pending_ GUARDED_BY(mutex_) = false;
  Phase phase_ GUARDED_BY(mutex_) = Phase::kWaiting;
  End end_ GUARDED_BY(mutex_) = End::kOpen;
  bool chunked_ GUARDED_BY(mutex_) = false;
  bool has_body_ GUARDED_BY(mutex_) = true;
  bool close_ GUARDED_BY(mutex_);
  bool gone_ GUARDED_BY(mutex_) = false;
  std::string pending_ GUARDED_BY(mutex_);
  std::size_t in_flight_ GUARDED_BY(mutex_) = 0;  ///< taken and not yet sent
  std::function<void()> resume_ GUARDED_BY(mutex_);
  std::vector<std::function<void()>> gone_callbacks_ GUARDED_BY(mutex_);
};

/// The exchange that a handler holds: its request, what the request's body takes, and the producer's side of
/// its reply.
[[nodiscard]] ExchangePtr make_exchange(Request request, BodyBudget::Share share,
                                        std::shared_ptr<Reply> reply);

}  // namespace switchyard::http
