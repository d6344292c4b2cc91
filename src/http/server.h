#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "switchyard/byte_size.h"
#include "switchyard/result.h"

// The front: sockets, HTTP/1.1, TLS. Knows nothing of models.

namespace switchyard::http {

/// Header names compare without case.
struct HeaderLess {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const;
};
using Headers = std::map<std::string, std::string, HeaderLess>;

struct Request {
  std::string method;
  std::string target;                             ///< as sent
  std::string path;                               ///< percent-decoded, without query
  std::string raw_path;                           ///< as sent, without query
  std::string raw_query;                          ///< as sent, without '?'
  std::multimap<std::string, std::string> query;  ///< decoded
  Headers headers;
  std::string body;
  std::string remote;  ///< "127.0.0.1:50312" or "unix"
  /// The server has no room for this connection: it is there for a short answer, and closes after it.
  bool crowded = false;

  [[nodiscard]] std::string header(std::string_view name) const;
  /// First value of a query parameter or `otherwise`.
  [[nodiscard]] std::string param(const std::string& name, std::string otherwise = {}) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json; charset=utf-8";
  std::string body;
  Headers headers = {};
};

/// One request and its answer. Every method: any thread. Exactly one of respond(), or
/// start_stream() ... finish()/abort(), is called; a connection whose exchange is dropped without
/// an answer is closed.
class Exchange {
 public:
  virtual ~Exchange() = default;
  [[nodiscard]] virtual const Request& request() const = 0;
  virtual void respond(Response response) = 0;

  /// Sends the head of a chunked reply. `head.body` is ignored.
  virtual void start_stream(Response head) = 0;
  /// Queues bytes of the stream as one chunk. True when the caller may go on at once; false when
  /// the reader is slow and more than the high-water mark (256 KiB) is queued: then wait for `resume`
  /// given to when_writable() before writing more. Nothing is lost either way.
  virtual bool write(std::string bytes) = 0;
  /// Calls `resume` once, on the loop thread, as soon as the queue is below the low-water mark (64 KiB) or
  /// the client is gone; on this thread when it has gone already. `resume` must not block.
  virtual void when_writable(std::function<void()> resume) = 0;
  /// Ends the stream whole; the connection goes on to its next request.
  virtual void finish() = 0;
  /// Ends the connection without a proper end, so that the client sees a cut and not an end. What was
  /// written before is still sent, for a few seconds.
  virtual void abort() = 0;

  /// True once the client has closed its end (also only its sending half) or the connection broke. A
  /// whole response is still sent then, in case it can be; a stream's bytes are thrown away. Poll freely.
  [[nodiscard]] virtual bool client_gone() const = 0;
  /// Calls `callback` once when the client goes before the reply is complete (at once when it has), on
  /// the loop thread or this one. It must not block.
  virtual void on_client_gone(std::function<void()> callback) = 0;
};
using ExchangePtr = std::shared_ptr<Exchange>;

/// Called on a loop thread for each complete request; must not block.
using Handler = std::function<void(ExchangePtr)>;

struct ServerOptions {
  std::vector<std::string> hosts = {"127.0.0.1"};  ///< addresses, names, or paths ending in ".sock"
  std::uint16_t port = 8080;                       ///< 0: a free one, see Server::addresses()
  bool reuse_port = false;
  std::string tls_key_file;  ///< both or none; for every host, Unix sockets too
  std::string tls_cert_file;
  ByteSize max_body = ByteSize::mib(512);
  ByteSize max_bodies = ByteSize::gib(1);  ///< of all requests at once; never less than one may have
  ByteSize max_header = ByteSize(64 << 10);
  std::chrono::seconds header_timeout{30};   ///< slow-loris: for a whole head, between parts of a body
  std::chrono::seconds idle_timeout{600};    ///< keep-alive connection without a request
  std::chrono::seconds write_timeout{3600};  ///< a reader that takes nothing at all
  std::uint64_t descriptors = 0;             ///< that this process may have; 0: its limit
  /// Body for an error found before any handler ran (bad request line, body too large, ...).
  std::function<Response(int status, std::string_view what)> error_response;
};

/// Listens and speaks HTTP/1.1 with keep-alive that is kept: a connection is closed only when the
/// client asks, the request was malformed, it idled, or its place is needed: then those go that have been
/// idle or in a head for longest, and a new connection that finds no such one is `crowded`. One event-loop
/// thread holds all sockets; each method may be called from any thread but that one, so not from a handler or
/// a callback. Destroying it closes everything; exchanges may outlive it, and are then those of clients that
/// have gone.
class Server {
 public:
  /// Binds and listens; requests are answered from here on. Errors: kInvalidArgument (address, TLS
  /// files), kConflict (port in use, with what to do).
  static Result<std::unique_ptr<Server>> start(ServerOptions options, Handler handler);
  virtual ~Server() = default;
  /// "http://127.0.0.1:8080", "unix:///run/switchyard.sock".
  [[nodiscard]] virtual std::vector<std::string> addresses() const = 0;
  [[nodiscard]] virtual std::uint16_t port() const = 0;
  /// Stops accepting; closes idle connections; running exchanges go on, each connection closing after its
  /// answer ("Connection: close").
  virtual void stop_accepting() = 0;
  /// Blocks until every exchange has been answered, at most `bound`; true when all were. Then closes all.
  virtual bool shutdown(std::chrono::milliseconds bound) = 0;
  /// Calls `done` on the loop thread when its turn comes: proof that the loop goes round. Never waits.
  virtual void pulse(std::function<void()> done) = 0;
  struct Stats {
    std::uint64_t connections = 0;
    std::uint64_t requests = 0;
    std::uint64_t exchanges = 0;
  };
  [[nodiscard]] virtual Stats stats() const = 0;
};

}  // namespace switchyard::http
