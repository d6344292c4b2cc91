#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "gateway/gateway.h"

namespace switchyard::gateway {

/// One request from its arrival until its lease is back. Where its engine breaks before one byte of the
/// reply was sent, it is held again, once, for the next engine; one that only waited for its turn at that
/// engine, or at one whose room others are to have, is held again as if it had never had it. Owned by whoever
/// is to continue it: the manager's callback, its place among the turns, a posted task, the sink's resume.
/// The gateway counts it until it is destroyed.
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
  /// Refuses it when its client does not wait any longer, and stops it when that has been too slow a reader
  /// for this long (zero: never). One that has been slow for a second keeps nobody's turn waiting.
  void end_if_overdue(Duration slow_reader_timeout);

  /// Neither one of the server's own nor one of the process-wide handlers'.
  [[nodiscard]] bool is_of_a_user() const {
    return options_.tier != Tier::kBackground && !options_.model.empty();
  }
  [[nodiscard]] const std::string& conversation() const { return options_.conversation; }
  /// In whose queue it is counted; for the gateway, under its lock.
  void queue_for(const models::VersionRef& version) { queued_for_ = version; }
  [[nodiscard]] const models::VersionRef& queued_for() const { return queued_for_; }

 private:
  using OnRevoked = std::stop_callback<std::function<void()>>;
  /// kNew -> kHeld -> kRunning -> kOver, with kRunning <-> kQueued while it waits for its turn; kRunning ->
  /// kHeld; and kNew, kHeld or kQueued -> kOver. Whoever makes the move owns what follows.
  enum class Phase : std::uint8_t { kNew, kHeld, kQueued, kRunning, kOver };

  [[nodiscard]] bool move_phase(Phase from, Phase to);
  void begin(const models::VersionRef& version);
  [[nodiscard]] models::VersionRef with_fallbacks(const models::VersionRef& wanted);
  void ask_for_lease();
  [[nodiscard]] std::optional<models::VersionRef> successor(const Error& error) const;
  [[nodiscard]] bool falls_back(const Error& error);
  [[nodiscard]] bool is_replayed();
  [[nodiscard]] bool is_handed_on();
  [[nodiscard]] bool may_begin_anew() const;
  void turn_to_fallback();
  void hold_again();
  void leased(Result<models::Lease> lease);
  void wait_for_turn();
  void begin_turn();
  void end_turn(std::optional<std::uint64_t> tokens);
  void give_way();
  void ask_again();
  void give_up();
  void return_lease();
  void cut(const Error& error);
  void fail(const Error& error);
  void drop_ticket();
  void drop_ticket_of(std::uint64_t turn);
  void execute();
  [[nodiscard]] std::optional<Error> why_not_start() const;
  void watch_lease();
  void when_revoked();
  void open_reply();
  [[nodiscard]] ReplyHead head_of(const engine::Reply& reply) const;
  void answer_whole();
  void pump();
  void wait_for_reader();
  void wake();
  void end_stream(const std::optional<Error>& broken);
  [[nodiscard]] bool interrupted() const {
    return stopped_ || too_slow_ || gave_up_ || revoked_.stop_requested();
  }
  [[nodiscard]] bool is_overdue() const;
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
  std::atomic<TimePoint> waits_since_{};
  std::atomic<bool> too_slow_ = false;         ///< its reader, by end_if_overdue()
  std::atomic<bool> has_head_ = false;         ///< of its reply
  std::atomic<bool> ran_out_of_time_ = false;  ///< as told to the engine by should_stop()
  std::atomic<bool> gave_up_ = false;          ///< its slot, to somebody who waits: background only
  std::atomic<Turns::Id> turn_at_engine_ = 0;  ///< 0: none
  models::VersionRef queued_for_;

  // Used by one thread at a time: the one that begins, then a worker.
  engine::Request request_;
  models::VersionRef wanted_;                  ///< what its name means
  std::vector<models::VersionRef> fallbacks_;  ///< which may still be asked
  bool kept_for_replay_ = false;               ///< request_ is still whole when an engine has it
  bool replayed_ = false;
  RequestRecord record_;
  bool outlives_client_ = false;  ///< a session's request that was held
  bool by_process_ = false;
  bool used_engine_ = false;  ///< the lease's
  std::unique_ptr<engine::Reply> reply_;
  models::Lease lease_;
  std::stop_token revoked_;  ///< the lease's; stays readable after its release
  std::optional<OnRevoked> on_revoked_, on_room_wanted_;

  Mutex mutex_;
  std::uint64_t turn_ GUARDED_BY(mutex_) = 0;  ///< how often it has asked for a lease
  models::AcquireTicket ticket_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::gateway
