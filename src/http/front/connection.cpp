#include "http/front/connection.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/error.hpp>
#include <exception>
#include <utility>

#include "base/free_memory.h"
#include "http/front/head.h"
#include "telemetry/log.h"

namespace switchyard::http {
namespace {

constexpr std::size_t kIdleChunk = 2 << 10;  // what 3000 idle connections hold each
constexpr std::size_t kBodyChunk = 64 << 10;
constexpr std::size_t kPipelineLimit = 64 << 10;
constexpr std::size_t kLargeReply = 512 << 10;   // no stream queues as much
constexpr std::chrono::seconds kLingerPause{2};  // as nginx does, shorter
constexpr std::chrono::seconds kLingerTotal{30};
constexpr std::chrono::seconds kCutFlush{2};     // to hand out what came before an abort
constexpr std::chrono::seconds kHeadMayTake{1};  // while others wait for the place
constexpr std::string_view kNoRoomForBody =
    "too many bytes of request bodies are in memory (limits.max_bodies); try again in a moment";

Connection::Time now() { return std::chrono::steady_clock::now(); }

}  // namespace

Connection::Connection(Front& front, std::string remote) : front_(front), remote_(std::move(remote)) {}

Connection::~Connection() = default;

void Connection::start() {
  front_.connections.insert(shared_from_this());
  {
    const MutexLock lock(front_.mutex);
    ++front_.open;
  }
  since_ = now();
  read_deadline_ = since_ + front_.options.header_timeout;
  async_handshake();
}

void Connection::move_to(State next) {
  const auto is_busy = [](State state) {
    return state == State::kReading || state == State::kReplying || state == State::kRejecting;
  };
  const State before = std::exchange(state_, next);
  if (before != next) since_ = now();
  if (is_busy(before) == is_busy(next) && next != State::kClosed) return;
  const MutexLock lock(front_.mutex);
  if (is_busy(before) && !is_busy(next)) --front_.busy;
  if (!is_busy(before) && is_busy(next)) ++front_.busy;
  if (next == State::kClosed) --front_.open;
  front_.changed.notify_all();
}

void Connection::on_handshake(error_code ec) {
  if (state_ == State::kClosed) return;
  if (ec) return close();
  move_to(State::kIdle);
  process_input();
}

void Connection::read() {
  if (reading_ || eof_ || state_ == State::kClosed) return;
  if (state_ == State::kReplying && inbox_.size() >= kPipelineLimit) return;
  const bool body = reader_ && reader_->state() == RequestReader::State::kBody;
  const std::size_t size = body ? kBodyChunk : kIdleChunk;
  if (chunk_.size() != size) {
    chunk_.resize(size);
    if (!body) chunk_.shrink_to_fit();
  }
  reading_ = true;
  async_read(boost::asio::buffer(chunk_));
}

void Connection::on_read(error_code ec, std::size_t bytes) {
  reading_ = false;
  if (state_ == State::kClosed) return;
  if (ec == boost::asio::error::eof || ec == boost::asio::ssl::error::stream_truncated) {
    eof_ = true;
  } else if (ec) {
    return close();
  }
  switch (state_) {
    case State::kIdle:
    case State::kReading:
      inbox_.append(chunk_, 0, bytes);
      process_input();
      break;
    case State::kReplying:
      inbox_.append(chunk_, 0, bytes);
      if (eof_) reply_->set_gone();
      read();
      break;
    case State::kRejecting: read(); break;
    case State::kLingering:
      if (eof_) return close();
      read_deadline_ = std::min(linger_end_, now() + kLingerPause);
      read();
      break;
    case State::kHandshake:
    case State::kClosed: break;
  }
}

/// Parses what has come until a request is complete or more is needed. Only one request is with the
/// handler at a time, so replies go out in the order of the requests.
void Connection::process_input() {
  if (!inbox_.empty()) {
    if (!reader_) {
      reader_ = std::make_unique<RequestReader>(front_.options.max_header, front_.options.max_body);
      body_share_ = BodyBudget::Share(front_.bodies);
      read_deadline_ = now() + front_.options.header_timeout;
      move_to(State::kReading);
    }
    inbox_.erase(0, reader_->feed(inbox_));
    if (!has_room_for_body()) return reject(503, kNoRoomForBody);
    switch (reader_->state()) {
      case RequestReader::State::kHead: break;
      case RequestReader::State::kBody:
        read_deadline_ = now() + front_.options.header_timeout;
        if (reader_->take_continue()) {
          own_out_ += "HTTP/1.1 100 Continue\r\n\r\n";
          write();
        }
        break;
      case RequestReader::State::kDone: return dispatch();
      case RequestReader::State::kFailed: return reject(reader_->error_status(), reader_->error());
    }
  } else if (!reader_) {
    move_to(State::kIdle);
    read_deadline_ = now() + front_.options.idle_timeout;
    release(inbox_);
    if (front_.stopping) stop();
  }
  if (eof_) return close();
  read();
}

/// Of a body that is announced, before it comes: it would be thrown away half-way.
bool Connection::has_room_for_body() {
  const bool is_body =
      reader_->state() == RequestReader::State::kBody || reader_->state() == RequestReader::State::kDone;
  if (!is_body) return true;
  const std::size_t arrived = reader_->body_size(), announced = reader_->announced_body_size();
  return front_.bodies->has_room_for(announced > arrived ? announced - arrived : 0) &&
         body_share_.grow_to(arrived);
}

std::optional<Connection::Standing> Connection::dispensable(Time time) const {
  switch (state_) {
    case State::kLingering: return Standing(Worth::kLingering, since_);
    case State::kIdle: return Standing(Worth::kIdle, since_);
    case State::kReading:
      if (reader_->state() == RequestReader::State::kBody) return std::nullopt;
      [[fallthrough]];
    case State::kHandshake:
      return time - since_ < kHeadMayTake ? std::nullopt : std::optional(Standing(Worth::kSlowHead, since_));
    case State::kReplying:
    case State::kRejecting:
    case State::kClosed: return std::nullopt;
  }
  return std::nullopt;
}

void Connection::dispatch() {
  Request request = reader_->take();
  const Reply::Options options{.head_only = request.method == "HEAD",
                               .http10 = reader_->http10(),
                               .keep_alive = reader_->keep_alive() && !front_.stopping && !crowded_};
  reader_.reset();
  request.remote = remote_;
  request.crowded = crowded_;
  // The weak pointer is locked on the loop only: no other thread may end up as the last owner.
  reply_ = std::make_shared<Reply>(options, [&loop = front_.loop, weak = weak_from_this()] {
    boost::asio::post(loop, [weak] {
      if (const auto self = weak.lock()) self->on_wake();
    });
  });
  move_to(State::kReplying);
  read_deadline_ = Time::max();
  front_.requests.fetch_add(1, std::memory_order_relaxed);
  front_.exchanges.fetch_add(1, std::memory_order_relaxed);
  if (eof_) reply_->set_gone();
  read();
  call_handler(make_exchange(std::move(request), std::exchange(body_share_, {}), reply_));
}

void Connection::call_handler(const ExchangePtr& exchange) {
  try {
    front_.handler(exchange);
  } catch (const std::exception& error) {
    telemetry::log_error("http", "the handler of {} {} threw: {}", exchange->request().method,
                         exchange->request().path, error.what());
    exchange->respond(front_.error_response(500, "internal error"));
  }
}

void Connection::reject(int status, std::string_view what) {
  const Response response = front_.error_response(status, what);
  reader_.reset();  // owns `what`, perhaps
  body_share_ = {};
  release(inbox_);
  Framing framing;
  framing.content_length = response.body.size();
  framing.close = true;
  own_out_ += response_head(response, framing);
  own_out_ += response.body;
  read_deadline_ = Time::max();
  move_to(State::kRejecting);
  read();
  write();
}

void Connection::on_wake() {
  if (!reply_ || state_ == State::kClosed) return;
  reply_->woken();
  if (writing_ && reply_->cut_requested()) write_deadline_ = std::min(write_deadline_, now() + kCutFlush);
  write();
}

/// Sends what is queued; once there is nothing left, does what comes after it.
void Connection::write() {
  if (writing_ || state_ == State::kClosed) return;
  Reply::End end = Reply::End::kOpen;
  if (out_.empty()) {
    out_.swap(own_out_);
    out_is_reply_ = out_.empty() && reply_;
    if (out_is_reply_) {
      auto taken = reply_->take();
      out_ = std::move(taken.bytes);
      end = taken.end;
    }
  }
  if (!out_.empty()) {
    writing_ = true;
    const bool cut = reply_ && reply_->cut_requested();
    write_deadline_ = now() + (cut ? kCutFlush : front_.options.write_timeout);
    return async_write(boost::asio::buffer(out_.data() + out_sent_, out_.size() - out_sent_));
  }
  if (state_ == State::kRejecting) return linger(Farewell::kClean);
  if (end == Reply::End::kWhole) finish_reply();
  if (end == Reply::End::kCut) cut();
}

void Connection::on_write(error_code ec, std::size_t bytes) {
  writing_ = false;
  write_deadline_ = Time::max();
  if (state_ == State::kClosed) return;
  if (ec) return close();
  out_sent_ += bytes;
  if (out_sent_ == out_.size()) {
    const bool large = out_.size() >= kLargeReply;
    release(out_);
    out_sent_ = 0;
    if (large) give_back_free_memory();  // it and what it was made of
  }
  if (out_is_reply_) reply_->sent(bytes);
  write();
}

void Connection::release_reply() {
  if (!reply_) return;
  const auto reply = std::exchange(reply_, nullptr);
  front_.exchanges.fetch_sub(1, std::memory_order_relaxed);
  reply->detach();
}

void Connection::finish_reply() {
  const bool close_now = reply_->closes() || front_.stopping;
  release_reply();
  if (close_now) return linger(Farewell::kClean);
  process_input();
}

void Connection::cut() {
  const bool reset = reply_->ends_by_close();
  release_reply();
  if (reset) {
    close_socket(Farewell::kCut);
    return close();
  }
  linger(Farewell::kCut);
}

/// Closes our end and reads on for a while: closing at once with bytes unread would send a reset, and
/// the client could lose the reply that it has not read yet.
void Connection::linger(Farewell farewell) {
  move_to(State::kLingering);
  reader_.reset();
  release(inbox_);
  shutdown_write(farewell);
  if (eof_) return close();
  linger_end_ = now() + kLingerTotal;
  read_deadline_ = now() + kLingerPause;
  read();
}

void Connection::check_deadlines(Time time) {
  if (time >= write_deadline_) return close();
  if (time < read_deadline_) return;
  switch (state_) {
    case State::kIdle:
      if (!has_input()) linger(Farewell::kClean);
      break;
    case State::kReading: reject(408, "the request did not come in time"); break;
    default: close();
  }
}

void Connection::mark_last() {
  if (reply_) reply_->close_after();
}

void Connection::stop() {
  mark_last();
  // A request that has come already is answered first.
  if (state_ == State::kIdle && !has_input()) linger(Farewell::kClean);
}

void Connection::close() {
  if (state_ == State::kClosed) return;
  const auto self = shared_from_this();  // the set's may be the last
  move_to(State::kClosed);
  front_.connections.erase(self);
  close_socket(Farewell::kClean);
  read_deadline_ = write_deadline_ = Time::max();
  reader_.reset();
  if (reply_) reply_->set_gone();
  release_reply();
}

}  // namespace switchyard::http
