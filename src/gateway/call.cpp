#include "gateway/call.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "gateway/fallback.h"

namespace switchyard::gateway {
namespace {

/// A larger request is not kept to be sent to a second engine.
constexpr std::size_t kMostKept = 1U << 20;

std::size_t size_of(const engine::Request& request) {
  std::size_t bytes = request.body.size();
  for (const auto& [name, file] : request.files) bytes += file.data.size();
  return bytes;
}

/// Of a body, on average: English text in JSON.
constexpr std::size_t kBytesPerToken = 4;
/// A reader that has made its stream wait for so long is not what a slot works for.
constexpr Duration kTurnOfASlowReader = std::chrono::seconds(1);

std::optional<std::uint64_t> total(const TokenCounts& tokens) {
  if (!tokens.prompt && !tokens.generated) return std::nullopt;
  return tokens.prompt.value_or(0) + tokens.generated.value_or(0);
}

/// The call whose lease is being asked for on this thread: an answer that comes meanwhile was not
/// waited for.
thread_local const Call* asking = nullptr;

const Error kClientLeft{ErrorCode::kCancelled, "the client went away"};
const Error kShuttingDown{ErrorCode::kUnavailable, "the server is shutting down"};
const Error kGaveUp{ErrorCode::kUnavailable, "a background request: its slot was wanted by another"};
const Error kTooSlow{
    ErrorCode::kTimeout,
    "the client did not take its stream for too long (slow_reader_timeout); it was ended so that "
    "the model is free for others"};
// llama-server's router has these words.
const Error kStoppedByOwner{ErrorCode::kInvalidArgument,
                            "request cancelled by a stop while the model was loading"};

Error out_of_time(Duration patience) {
  const double seconds = std::chrono::duration<double>(patience).count();
  return {
      ErrorCode::kTimeout,
      fmt::format("not answered within the {:g} s that the client waits (its x-request-timeout)", seconds)};
}

}  // namespace

Call::Call(Gateway& gateway, CallOptions options, engine::Request request, std::shared_ptr<ReplySink> sink)
    : gateway_(gateway),
      options_(std::move(options)),
      sink_(std::move(sink)),
      arrived_(gateway.dependencies_.clock.now()),
      request_(std::move(request)) {
  record_.request_id = options_.request_id;
  record_.name = options_.model;
  record_.subject = options_.subject;
  record_.segment = options_.segment;
  record_.method = request_.method;
  record_.path = request_.path;
  record_.tenant = options_.tenant;
  record_.tier = options_.tier;
  request_.should_stop = [this] { return should_stop(); };
  if (is_interactive(options_.tier)) request_.asker = options_.tenant;
}

Call::~Call() {
  release();
  gateway_.leave(*this);
}

void Call::routed(const Result<models::VersionRef>& version) {
  const auto self = gateway_.take_routing(*this);
  if (self == nullptr) return;  // refused meanwhile
  if (!version) return refuse(version.error());
  const models::VersionRef chosen = with_fallbacks(*version);
  if (!options_.conversation.empty()) gateway_.remember_conversation(*this, chosen);
  begin(chosen);
}

/// Who is to answer now. A session stays with its version: its stream would be another's.
models::VersionRef Call::with_fallbacks(const models::VersionRef& wanted) {
  wanted_ = wanted;
  if (!gateway_.dependencies_.fallbacks || !options_.conversation.empty()) return wanted;
  std::vector<models::VersionRef> all = gateway_.dependencies_.fallbacks(options_.model);
  if (all.empty()) return wanted;
  all.insert(all.begin(), wanted);
  std::vector<std::optional<models::Standing>> standings;
  standings.reserve(all.size());
  for (const auto& ref : all) standings.push_back(gateway_.dependencies_.manager.standing(ref));
  const models::VersionRef chosen = all[choose(standings)];
  std::ranges::remove_copy_if(all, std::back_inserter(fallbacks_),
                              [&](const auto& ref) { return ref == chosen || ref == wanted; });
  return chosen;
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
  if (is_overdue()) return refuse(out_of_time(*options_.patience));
  const bool may_wait = options_.make_hot != models::MakeHot::kNothing;
  if (may_wait) {
    if (const auto full = gateway_.admit(*this, version)) return refuse(*full);
  }
  if (!options_.conversation.empty())
    request_.headers["X-Conversation-Id"] = stream_key(version, options_.conversation);
  if (move_phase(Phase::kNew, Phase::kHeld)) ask_for_lease();
}

void Call::ask_for_lease() {
  std::uint64_t turn = 0;
  {
    const MutexLock lock(mutex_);
    turn = ++turn_;
  }
  const Call* const outer = std::exchange(asking, this);
  // What the server does for itself makes no version one that was used lately.
  const models::Use use = options_.tier == Tier::kBackground ? models::Use::kBackground : models::Use::kUser;
  auto ticket = gateway_.dependencies_.manager.acquire(
      record_.version, {.make_hot = options_.make_hot, .use = use},
      [self = shared_from_this()](Result<models::Lease> lease) { self->leased(std::move(lease)); });
  asking = outer;
  {
    const MutexLock lock(mutex_);
    if (turn != turn_) return;  // answered, and held again meanwhile: the ticket there is not this one's
    std::swap(ticket_, ticket);
  }
  const Phase now = phase_;
  if (now != Phase::kHeld) drop_ticket_of(turn);  // answered or refused before it could be seen
  const bool waits = now == Phase::kHeld || now == Phase::kQueued;
  if (!waits || !options_.conversation.empty()) return;
  sink_->on_client_gone([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->refuse(kClientLeft);
  });
}

void Call::begin_process() {
  by_process_ = true;
  if (!move_phase(Phase::kNew, Phase::kRunning)) return;
  gateway_.dependencies_.executor.post([self = shared_from_this()] { self->execute(); });
}

/// The model's newest version, where the one that its bare name meant has left the catalog while this waited
/// for it: a replaced file is another version.
std::optional<models::VersionRef> Call::successor(const Error& error) const {
  if (error.code != ErrorCode::kNotFound || !options_.conversation.empty()) return std::nullopt;
  const auto now = gateway_.dependencies_.manager.resolve(options_.model);
  if (!now || *now == record_.version || *now == wanted_) return std::nullopt;
  return *now;
}

/// The version cannot be had: its successor, or the next that stands in for it, is asked.
bool Call::falls_back(const Error& error) {
  const bool ended = error.code == ErrorCode::kCancelled || error.code == ErrorCode::kInvalidArgument;
  if (ended || stopped_) return false;
  const auto next = successor(error);
  if ((!next && fallbacks_.empty()) || !move_phase(Phase::kHeld, Phase::kRunning)) return false;
  record_.failed.push_back(record_.version);
  if (next) {
    record_.version = wanted_ = *next;
  } else {
    turn_to_fallback();
  }
  // Not from here: this may be the answer to an acquire that has not returned yet.
  gateway_.dependencies_.executor.post([self = shared_from_this()] {
    self->drop_ticket();
    self->hold_again();
  });
  return true;
}

void Call::turn_to_fallback() {
  record_.version = fallbacks_.front();
  fallbacks_.erase(fallbacks_.begin());
}

/// Its request is still whole, nothing was sent, and somebody waits for it.
bool Call::may_begin_anew() const {
  return kept_for_replay_ && record_.bytes == 0 && !stopped_ && !sink_->client_gone();
}

/// Its engine broke before one byte was sent: the next one gets it, as if nothing had been.
bool Call::is_replayed() {
  if (!lease_ || !lease_.broken() || replayed_ || !may_begin_anew()) return false;
  replayed_ = true;
  record_.failed.push_back(record_.version);
  release();
  told_to_stop_ = false;
  hold_again();
  return true;
}

/// Its engine could not answer, and said so before anything was sent: who stands in is asked.
bool Call::is_handed_on() {
  if (fallbacks_.empty() || !may_begin_anew()) return false;
  record_.failed.push_back(record_.version);
  release();
  turn_to_fallback();
  hold_again();
  return true;
}

void Call::hold_again() {
  if (!move_phase(Phase::kRunning, Phase::kHeld)) return;
  if (stopped_) return refuse(kShuttingDown);
  ask_for_lease();
}

void Call::leased(Result<models::Lease> lease) {
  if (!lease && falls_back(lease.error())) return;
  if (!move_phase(Phase::kHeld, lease ? Phase::kRunning : Phase::kOver)) return;
  record_.queued = gateway_.dependencies_.clock.now() - arrived_;
  drop_ticket();  // it holds the callback, which holds this call
  if (!lease) return fail(lease.error());
  outlives_client_ = asking != this && !options_.conversation.empty();
  lease_ = std::move(*lease);
  gateway_.count_lease(record_.version, 1);
  revoked_ = lease_.revoked();
  watch_lease();
  if (options_.takes_slot) {
    wait_for_turn();
  } else {
    gateway_.dependencies_.executor.post([self = shared_from_this()] { self->execute(); });
  }
}

/// Its place is known before it can be refused, and it is not asked to begin before it waits.
void Call::wait_for_turn() {
  const Turns::Id turn = gateway_.turns_.enter(
      {.version = record_.version,
       .slots = lease_.slots(),
       .party = {.tenant = options_.tenant, .weight = options_.weight, .tier = options_.tier},
       .prompt_tokens = size_of(request_) / kBytesPerToken,
       .begin = [self = shared_from_this()] { self->begin_turn(); },
       .give_up =
           [weak = weak_from_this()] {
             if (const auto self = weak.lock()) self->give_up();
           }});
  turn_at_engine_ = turn;
  const std::stop_token revoked = revoked_, room_wanted = lease_.room_wanted();
  if (!move_phase(Phase::kRunning, Phase::kQueued)) return;
  gateway_.turns_.wait(turn);
  // Told before there was somebody who waited.
  if (revoked.stop_requested()) when_revoked();
  if (room_wanted.stop_requested()) give_way();
}

void Call::begin_turn() {
  if (!move_phase(Phase::kQueued, Phase::kRunning)) return;  // whoever made it over ends its turn
  record_.queued = gateway_.dependencies_.clock.now() - arrived_;
  gateway_.dependencies_.executor.post([self = shared_from_this()] { self->execute(); });
}

void Call::end_turn(std::optional<std::uint64_t> tokens) {
  if (const Turns::Id turn = turn_at_engine_.exchange(0); turn != 0) gateway_.turns_.end(turn, tokens);
}

void Call::give_way() {
  if (move_phase(Phase::kQueued, Phase::kRunning)) ask_again();
}

/// Gives the engine back that it has not used, and asks for one again.
void Call::ask_again() {
  return_lease();
  hold_again();
}

/// Its slot, to somebody who waits for it.
void Call::give_up() {
  gave_up_ = true;
  wake();
}

void Call::refuse(const Error& error) {
  if (!move_phase(Phase::kNew, Phase::kOver) && !move_phase(Phase::kHeld, Phase::kOver) &&
      !move_phase(Phase::kQueued, Phase::kOver))
    return;
  const auto self = gateway_.take_routing(*this);
  drop_ticket();
  cut(error);
}

void Call::drop_ticket() {
  models::AcquireTicket ticket;
  const MutexLock lock(mutex_);
  std::swap(ticket_, ticket);
}

void Call::drop_ticket_of(std::uint64_t turn) {
  models::AcquireTicket ticket;
  const MutexLock lock(mutex_);
  if (turn == turn_) std::swap(ticket_, ticket);
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

bool Call::is_overdue() const {
  return options_.patience && !has_head_ &&
         gateway_.dependencies_.clock.now() - arrived_ >= *options_.patience;
}

void Call::end_if_overdue(Duration slow_reader_timeout) {
  if (is_overdue()) refuse(out_of_time(*options_.patience));
  if (!waits_for_reader_) return;
  const Duration waited = gateway_.dependencies_.clock.now() - waits_since_.load();
  // The engine goes on without its reader: what is in the way here is no slot.
  if (waited >= kTurnOfASlowReader) end_turn(std::nullopt);
  if (slow_reader_timeout <= Duration::zero() || waited < slow_reader_timeout) return;
  too_slow_ = true;
  wake();
}

std::optional<Error> Call::why_not_start() const {
  if (stopped_) return kShuttingDown;
  if (is_overdue()) return out_of_time(*options_.patience);
  if (stopped_by_owner_) return kStoppedByOwner;
  if (!outlives_client_ && sink_->client_gone()) return kClientLeft;
  return std::nullopt;
}

void Call::execute() {
  if (const auto error = why_not_start()) return cut(*error);
  if (lease_.broken()) return ask_again();
  try {
    open_reply();
  } catch (const std::exception& e) {
    if (!is_replayed()) end_stream(Error{ErrorCode::kInternal, "the engine failed", e.what()});
  }
}

/// Ends it before its reply has begun.
void Call::cut(const Error& error) {
  gateway_.forget_conversation(*this);
  fail(error);
}

void Call::fail(const Error& error) {
  sink_->fail(error);
  over(error, http_status(error.code));
}

void Call::watch_lease() {
  const auto tells = [weak = weak_from_this()](void (Call::*what)()) {
    return std::function<void()>([weak, what] {
      if (const auto self = weak.lock()) (self.get()->*what)();  // which may end what this is in
    });
  };
  on_revoked_.emplace(revoked_, tells(&Call::when_revoked));
  on_room_wanted_.emplace(lease_.room_wanted(), tells(&Call::give_way));
}

void Call::when_revoked() {
  if (move_phase(Phase::kQueued, Phase::kRunning)) {
    return lease_.broken() ? ask_again() : cut(*why_cut());
  }
  // A session does not look at should_stop: it ends by a stop of its stream.
  if (!options_.conversation.empty()) {
    gateway_.dependencies_.executor.post([self = shared_from_this()] {
      self->gateway_.end_stream(self->record_.version, self->options_.conversation);
    });
  }
  end_turn(std::nullopt);  // its engine may hang: others are not to wait for that
  wake();
}

void Call::open_reply() {
  kept_for_replay_ =
      !by_process_ && !replayed_ && options_.conversation.empty() && size_of(request_) <= kMostKept;
  engine::Request request = kept_for_replay_ ? request_ : std::move(request_);
  used_engine_ = !by_process_;
  reply_ = by_process_ ? gateway_.dependencies_.process_routes->handle(std::move(request))
                       : lease_.engine().handle(std::move(request));
  const bool failed_at_once = reply_->failure() != nullptr || reply_->status() >= 500;
  if ((told_to_stop_ || failed_at_once) && is_replayed()) return;
  if (failed_at_once && !told_to_stop_ && is_handed_on()) return;
  has_head_ = true;
  gateway_.forget_conversation(*this);
  if (const Error* const failed = reply_->failure()) {
    const Error error = *failed;
    end_reply();
    return fail(error);
  }
  record_.first_byte = gateway_.dependencies_.clock.now() - arrived_;
  const bool head_is_sent = record_.status != 0;  // by the engine that broke
  if (!reply_->is_stream()) {
    if (head_is_sent)
      return end_stream(Error{ErrorCode::kInternal, "the engine failed", reply_->take_body()});
    answer_whole();
    return;
  }
  if (!head_is_sent) {
    record_.status = reply_->status();
    record_.streamed = !by_process_;
    sink_->start(head_of(*reply_));
  }
  pump();
}

ReplyHead Call::head_of(const engine::Reply& reply) const {
  const bool stands_in = !by_process_ && record_.version != wanted_;
  return {reply.status(), reply.content_type(), reply.headers(), record_.version,
          stands_in ? wanted_ : models::VersionRef{}};
}

void Call::answer_whole() {
  ReplyHead head = head_of(*reply_);
  std::string body = reply_->take_body();
  end_reply();
  // What a broken engine says of it is llama.cpp's, and not why.
  if (lease_.broken() && head.status >= 400) {
    return fail(*why_cut());
  }
  // llama.cpp answers a request that it was told to drop with an empty 200.
  if (told_to_stop_ && body.empty() && head.status == 200) {
    sink_->note(head);
    return fail(why_cut().value_or(kClientLeft));
  }
  record_.bytes = body.size();
  const int status = head.status;
  sink_->respond(std::move(head), std::move(body));
  over(std::nullopt, status);
}

void Call::pump() {
  try {
    while (!interrupted() && !lease_.broken() && !sink_->client_gone()) {
      std::string chunk;
      const bool more = reply_->next(chunk);
      if (lease_.broken()) break;  // what comes now is no part of the reply
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
    if (is_replayed()) return;
    end_stream(std::nullopt);
  } catch (const std::exception& e) {
    if (is_replayed()) return;
    end_stream(Error{ErrorCode::kInternal, "the engine failed in the middle of its reply", e.what()});
  }
}

void Call::wait_for_reader() {
  waits_since_ = gateway_.dependencies_.clock.now();
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
  std::optional<Error> error = lease_ && lease_.broken() && broken ? why_cut() : broken;
  if (!error && sink_->ending() != Ending::kWhole) {
    const Error* const failed = reply_ == nullptr ? nullptr : reply_->failure();
    error = failed != nullptr && !lease_.broken() ? *failed : why_cut();
  }
  end_reply();
  if (error) {
    sink_->fail(*error);
  } else {
    sink_->finish();
  }
  over(error, started ? record_.status : http_status(error ? error->code : ErrorCode::kInternal));
}

bool Call::should_stop() {
  const bool overdue = is_overdue();
  if (overdue) ran_out_of_time_ = true;
  const bool stop = overdue || interrupted() || (!outlives_client_ && sink_->client_gone());
  if (stop) told_to_stop_ = true;
  return stop;
}

std::optional<Error> Call::why_cut() const {
  if (stopped_) return kShuttingDown;
  if (gave_up_) return kGaveUp;
  if (ran_out_of_time_) return out_of_time(*options_.patience);
  if (too_slow_) return kTooSlow;
  if (auto why = lease_.why_broken()) {
    if (why->code == ErrorCode::kCorruptFile) return why;
    return Error{
        ErrorCode::kUnavailable,
        "the engine of model '" + record_.version.to_string() + "' broke while it answered; ask again",
        why->to_string()};
  }
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
  on_room_wanted_.reset();
  reply_.reset();  // may go on generating into a session: the engine is still leased
}

void Call::release() {
  end_reply();
  const bool used = std::exchange(used_engine_, false);
  if (used && lease_ && gateway_.dependencies_.before_release && !lease_.broken())
    gateway_.dependencies_.before_release(record_.version, lease_.engine());
  return_lease();
}

void Call::return_lease() {
  on_revoked_.reset();
  on_room_wanted_.reset();
  end_turn(0);
  if (!lease_) return;
  gateway_.count_lease(record_.version, -1);
  lease_.release();
}

bool Call::move_phase(Phase from, Phase to) { return phase_.compare_exchange_strong(from, to); }

void Call::over(const std::optional<Error>& error, int status) {
  phase_ = Phase::kOver;
  record_.tokens = sink_->tokens();
  end_turn(total(record_.tokens));
  release();
  record_.total = gateway_.dependencies_.clock.now() - arrived_;
  record_.status = status;
  record_.error = error;
  record_.outcome = !error                 ? Outcome::kAnswered
                    : sink_->client_gone() ? Outcome::kClientGone
                                           : Outcome::kFailed;
  if (options_.observer) options_.observer(record_);
  if (gateway_.dependencies_.observer) gateway_.dependencies_.observer(record_);
}

}  // namespace switchyard::gateway
