#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>

#include "gateway/gateway.h"

namespace switchyard::gateway {

/// One request from its arrival until its lease is back. Owned by whoever is to continue it: the
/// manager's callback, a posted task, the sink's resume. The gateway counts it until it is destroyed.
class Call : public std::enable_shared_from_this<Call> {
 public:
  Call(Gateway& gateway, CallOptions options, engine::Request request, std::shared_ptr<ReplySink> sink);
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  /// Its name means `version`: asks for the lease; the rest follows by itself.
  void routed(const Result<models::VersionRef>& version);
  /// Ends it when its client goes before it is routed.
  void watch_client();
  /// Goes on without an engine, by the process-wide handlers.
  void begin_process();
  /// Ends it with `error` if it is still held.
  void refuse(const Error& error);
  /// Refuses it if no engine works for it yet, as a stop by its owner.
  void stop_before_start();
  /// Makes it stop with an error, whatever it does.
  void stop();

  [[nodiscard]] const std::string& conversation() const { return options_.conversation; }

 private:
  using OnRevoked = std::stop_callback<std::function<void()>>;
  /// kNew -> kHeld -> kRunning -> kOver, or kHeld -> kOver. Whoever makes the move owns what follows.
  enum class Phase : std::uint8_t { kNew, kHeld, kRunning, kOver };

  [[nodiscard]] bool move_phase(Phase from, Phase to);
  void begin(const models::VersionRef& version);
  void leased(Result<models::Lease> lease);
  void drop_ticket();
  void execute();
  [[nodiscard]] std::optional<Error> why_not_start() const;
  void watch_revocation();
  void open_reply();
  void answer_whole();
  void pump();
  void wait_for_reader();
  void wake();
  void end_stream(const std::optional<Error>& broken);
  [[nodiscard]] bool interrupted() const { return stopped_ || revoked_.stop_requested(); }
  [[nodiscard]] bool should_stop();
  [[nodiscard]] std::optional<Error> why_cut() const;
  void end_reply();
  void release();
  void over(const std::optional<Error>& error, int status);

  Gateway& gateway_;
  const CallOptions options_;
  const std::shared_ptr<ReplySink> sink_;
  const TimePoint arrived_;

  std::atomic<Phase> phase_ = Phase::kNew;
  std::atomic<bool> stopped_ = false;  ///< by stop(): the server is going down
  std::atomic<bool> stopped_by_owner_ = false;
  std::atomic<bool> told_to_stop_ = false;  ///< the engine has seen should_stop() say true
  std::atomic<bool> waits_for_reader_ = false;

  // Used by one thread at a time: the one that begins, then a worker.
  engine::Request request_;
  RequestRecord record_;
  bool outlives_client_ = false;  ///< a session's request that was held
  bool by_process_ = false;
  std::unique_ptr<engine::Reply> reply_;
  models::Lease lease_;
  std::stop_token revoked_;  ///< the lease's; stays readable after its release
  std::optional<OnRevoked> on_revoked_;

  Mutex mutex_;
  models::AcquireTicket ticket_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::gateway
