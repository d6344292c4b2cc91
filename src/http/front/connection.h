#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "http/front/front.h"
#include "http/front/reply.h"
#include "http/front/request_reader.h"

namespace switchyard::http {

/// One client's connection: reads a request, hands it to the handler, sends the reply, and again.
/// Loop thread only. One read is always under way, also while a reply is made, so that a client that
/// leaves is noticed; what a pipelining client sends meanwhile waits its turn. transport.h has the
/// two kinds, plain and TLS.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Time = std::chrono::steady_clock::time_point;

  virtual ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Registers with the front and begins.
  void start();
  /// Ends a timeout that has passed. Called about once a second.
  void check_deadlines(Time now);
  /// A reply that is still to come will say that the connection closes after it.
  void mark_last();
  /// An idle connection closes; a busy one closes after its answer.
  void stop();
  /// Ends it now; the exchange, if any, learns that its client is gone.
  void close();
  /// There is no room for it: it is there for one short answer.
  void mark_crowded() { crowded_ = true; }

  /// How little is lost when it is closed to make room: the lower of two goes first. Empty while a request is
  /// at work, or its body or head is on the way.
  enum class Worth : std::uint8_t { kLingering, kIdle, kSlowHead };
  using Standing = std::pair<Worth, Time>;  ///< since when
  [[nodiscard]] std::optional<Standing> dispensable(Time now) const;
  /// Whether bytes have come that are not read yet: such as a request on an idle connection.
  [[nodiscard]] bool has_unread() { return has_input(); }

 protected:
  enum class Farewell { kClean, kCut };
  using error_code = boost::system::error_code;

  Connection(Front& front, std::string remote);

  void on_handshake(error_code ec);
  void on_read(error_code ec, std::size_t bytes);
  void on_write(error_code ec, std::size_t bytes);
  [[nodiscard]] Front& front() { return front_; }

 private:
  enum class State {
    kHandshake,
    kIdle,       ///< between requests
    kReading,    ///< a request has begun
    kReplying,   ///< the handler has it
    kRejecting,  ///< an error is being sent, after which the connection ends
    kLingering,  ///< our end is closed; what still comes is thrown away
    kClosed,
  };

  // The transport: each starts one operation whose end calls the on_ function of its name.
  virtual void async_handshake() = 0;
  virtual void async_read(boost::asio::mutable_buffer into) = 0;
  virtual void async_write(boost::asio::const_buffer from) = 0;
  /// Tells the client that nothing more comes; kCut without the end that TLS would sign.
  virtual void shutdown_write(Farewell farewell) = 0;
  /// Closes the socket; outstanding operations end with an error. kCut sends a reset.
  virtual void close_socket(Farewell farewell) = 0;
  /// True when bytes have come that no read has returned yet.
  [[nodiscard]] virtual bool has_input() = 0;

  void move_to(State next);
  void read();
  void process_input();
  [[nodiscard]] bool has_room_for_body();
  void dispatch();
  void call_handler(const ExchangePtr& exchange);
  void reject(int status, std::string_view what);
  void on_wake();
  void write();
  void finish_reply();
  void cut();
  void linger(Farewell farewell);
  void release_reply();

  Front& front_;
  const std::string remote_;
  State state_ = State::kHandshake;
  Time since_ = Time::min();  ///< of the state
  bool crowded_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool eof_ = false;
  Time read_deadline_ = Time::max();
  Time write_deadline_ = Time::max();
  Time linger_end_ = Time::max();
  std::string chunk_;    ///< what the read under way fills
  std::string inbox_;    ///< what has come and is not parsed yet
  std::string own_out_;  ///< to be written before anything of a reply: 100 Continue, an error of ours
  std::string out_;      ///< what is being written, from out_sent_ on
  bool out_is_reply_ = false;
  std::size_t out_sent_ = 0;
  std::unique_ptr<RequestReader> reader_;
  BodyBudget::Share body_share_;  ///< of the request that reader_ reads
  std::shared_ptr<Reply> reply_;
};

}  // namespace switchyard::http
