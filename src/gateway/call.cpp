#include "gateway/call.h"

#include <exception>
#include <utility>

namespace switchyard::gateway {
namespace {

/// The call whose lease is being asked for on this thread: an answer that comes meanwhile was not
/// waited for.
thread_local const Call* asking = nullptr;

const Error kClientLeft{ErrorCode::kCancelled, "the client went away"};
const Error kShuttingDown{ErrorCode::kUnavailable, "the server is shutting down"};
// llama-server's router has these words.
const Error kStoppedByOwner{ErrorCode::kInvalidArgument,
                            "request cancelled by a stop while the model was loading"};

}  // namespace

Call::Call(Gateway& gateway, CallOptions options, engine::Request request, std::shared_ptr<ReplySink> sink)
    : gateway_(gateway),
      options_(std::move(options)),
      sink_(std::move(sink)),
      arrived_(gateway.dependencies_.clock.now()),
      request_(std::move(request)) {
  record_.method = request_.method;
  record_.path = request_.path;
  request_.should_stop = [this] { return should_stop(); };
}

Call::~Call() {
  release();
  gateway_.leave(*this);
}

void Call::routed(const Result<models::VersionRef>& version) {
  const auto self = gateway_.take_routing(*this);
  if (self == nullptr) return;  // refused meanwhile
  if (!version) return refuse(version.error());
  if (!options_.conversation.empty()) gateway_.remember_conversation(*this, *version);
  begin(*version);
}

void Call::watch_client() {
  if (phase_ != Phase::kNew || !options_.conversation.empty()) return;
  sink_->on_client_gone([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr || self->phase_ != Phase::kNew) return;
    self->refuse(kClientLeft);
  });
}

void Call::begin(const models::VersionRef& version) {
  record_.version = version;
  if (!options_.conversation.empty())
    request_.headers["X-Conversation-Id"] = stream_key(version, options_.conversation);
  if (!move_phase(Phase::kNew, Phase::kHeld)) return;
  const Call* const outer = std::exchange(asking, this);
  auto ticket = gateway_.dependencies_.manager.acquire(
      version, {.make_hot = options_.make_hot},
      [self = shared_from_this()](Result<models::Lease> lease) { self->leased(std::move(lease)); });
  asking = outer;
  if (phase_ != Phase::kHeld) return;
  {
    const MutexLock lock(mutex_);
    std::swap(ticket_, ticket);
  }
  if (phase_ != Phase::kHeld) return drop_ticket();  // answered or refused before it could be seen
  if (!options_.conversation.empty()) return;
  sink_->on_client_gone([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->refuse(kClientLeft);
  });
}

void Call::begin_process() {
  by_process_ = true;
  if (!move_phase(Phase::kNew, Phase::kRunning)) return;
  gateway_.dependencies_.executor.post([self = shared_from_this()] { self->execute(); });
}

void Call::leased(Result<models::Lease> lease) {
  if (!move_phase(Phase::kHeld, lease ? Phase::kRunning : Phase::kOver)) return;
  record_.queued = gateway_.dependencies_.clock.now() - arrived_;
  drop_ticket();  // it holds the callback, which holds this call
  if (!lease) {
    sink_->fail(lease.error());
    over(lease.error(), http_status(lease.error().code));
    return;
  }
  outlives_client_ = asking != this && !options_.conversation.empty();
  lease_ = std::move(*lease);
  gateway_.count_lease(record_.version, 1);
  revoked_ = lease_.revoked();
  gateway_.dependencies_.executor.post([self = shared_from_this()] { self->execute(); });
}

void Call::refuse(const Error& error) {
  if (!move_phase(Phase::kNew, Phase::kOver) && !move_phase(Phase::kHeld, Phase::kOver)) return;
  const auto self = gateway_.take_routing(*this);
  drop_ticket();
  gateway_.forget_conversation(*this);
  sink_->fail(error);
  over(error, http_status(error.code));
}

void Call::drop_ticket() {
  models::AcquireTicket ticket;
  const MutexLock lock(mutex_);
  std::swap(ticket_, ticket);
}

void Call::stop_before_start() {
  stopped_by_owner_ = true;
  refuse(kStoppedByOwner);
}

void Call::stop() {
  stopped_ = true;
  refuse(kShuttingDown);
  wake();
}

std::optional<Error> Call::why_not_start() const {
  if (stopped_) return kShuttingDown;
  if (stopped_by_owner_) return kStoppedByOwner;
  if (!outlives_client_ && sink_->client_gone()) return kClientLeft;
  return std::nullopt;
}

void Call::execute() {
  if (const auto error = why_not_start()) {
    gateway_.forget_conversation(*this);
    sink_->fail(*error);
    over(error, http_status(error->code));
    return;
  }
  watch_revocation();
  try {
    open_reply();
  } catch (const std::exception& e) {
    end_stream(Error{ErrorCode::kInternal, "the engine failed", e.what()});
  }
}

void Call::watch_revocation() {
  on_revoked_.emplace(revoked_, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr) return;
    // A session does not look at should_stop: it ends by a stop of its stream.
    if (!self->options_.conversation.empty()) {
      self->gateway_.dependencies_.executor.post(
          [self] { self->gateway_.end_stream(self->record_.version, self->options_.conversation); });
    }
    self->wake();
  });
}

void Call::open_reply() {
  reply_ = by_process_ ? gateway_.dependencies_.process_routes->handle(std::move(request_))
                       : lease_.engine().handle(std::move(request_));
  gateway_.forget_conversation(*this);
  record_.first_byte = gateway_.dependencies_.clock.now() - arrived_;
  if (!reply_->is_stream()) {
    answer_whole();
    return;
  }
  record_.status = reply_->status();
  sink_->start({reply_->status(), reply_->content_type(), reply_->headers(), record_.version});
  pump();
}

void Call::answer_whole() {
  ReplyHead head{reply_->status(), reply_->content_type(), reply_->headers(), record_.version};
  std::string body = reply_->take_body();
  end_reply();
  // llama.cpp answers a request that it was told to drop with an empty 200.
  if (told_to_stop_ && body.empty() && head.status == 200) {
    const Error error = why_cut().value_or(kClientLeft);
    sink_->fail(error);
    over(error, http_status(error.code));
    return;
  }
  record_.bytes = body.size();
  const int status = head.status;
  sink_->respond(std::move(head), std::move(body));
  over(std::nullopt, status);
}

void Call::pump() {
  try {
    while (!interrupted() && !sink_->client_gone()) {
      std::string chunk;
      const bool more = reply_->next(chunk);
      bool go_on = true;
      if (!chunk.empty()) {
        record_.bytes += chunk.size();
        go_on = sink_->write(std::move(chunk));
      }
      if (!more) break;
      if (!go_on) {
        wait_for_reader();
        return;
      }
    }
    end_stream(std::nullopt);
  } catch (const std::exception& e) {
    end_stream(Error{ErrorCode::kInternal, "the engine failed in the middle of its reply", e.what()});
  }
}

void Call::wait_for_reader() {
  waits_for_reader_ = true;
  sink_->when_writable([self = shared_from_this()] { self->wake(); });
  if (interrupted()) wake();  // came before there was somebody to wake
}

void Call::wake() {
  if (!waits_for_reader_.exchange(false)) return;
  gateway_.dependencies_.executor.post([self = shared_from_this()] { self->pump(); });
}

void Call::end_stream(const std::optional<Error>& broken) {
  const bool started = record_.status != 0;
  std::optional<Error> error = broken;
  if (!error && sink_->ending() != Ending::kWhole) error = why_cut();
  end_reply();
  if (error) {
    sink_->fail(*error);
  } else {
    sink_->finish();
  }
  over(error, started ? record_.status : http_status(error ? error->code : ErrorCode::kInternal));
}

bool Call::should_stop() {
  const bool stop = interrupted() || (!outlives_client_ && sink_->client_gone());
  if (stop) told_to_stop_ = true;
  return stop;
}

std::optional<Error> Call::why_cut() const {
  if (stopped_) return kShuttingDown;
  if (revoked_.stop_requested()) {
    return Error{ErrorCode::kUnavailable, "model '" + record_.version.to_string() +
                                              "' is being unloaded and this reply took longer than its "
                                              "drain timeout"};
  }
  if (sink_->client_gone()) return kClientLeft;
  if (sink_->ending() == Ending::kCut) {
    return Error{ErrorCode::kInternal, "the engine ended this reply early"};
  }
  return std::nullopt;
}

void Call::end_reply() {
  on_revoked_.reset();
  reply_.reset();  // may go on generating into a session: the engine is still leased
}

void Call::release() {
  end_reply();
  if (!lease_) return;
  if (gateway_.dependencies_.before_release)
    gateway_.dependencies_.before_release(record_.version, lease_.engine());
  gateway_.count_lease(record_.version, -1);
  lease_.release();
}

bool Call::move_phase(Phase from, Phase to) { return phase_.compare_exchange_strong(from, to); }

void Call::over(const std::optional<Error>& error, int status) {
  phase_ = Phase::kOver;
  release();
  record_.total = gateway_.dependencies_.clock.now() - arrived_;
  record_.status = status;
  record_.outcome = !error                 ? Outcome::kAnswered
                    : sink_->client_gone() ? Outcome::kClientGone
                                           : Outcome::kFailed;
  if (gateway_.dependencies_.observer) gateway_.dependencies_.observer(record_);
}

}  // namespace switchyard::gateway
