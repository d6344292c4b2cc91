#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/beast/core/string.hpp>
#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/mutex.h"
#include "http/server.h"

// For the tests of this folder: a client that sends exactly the bytes it is given.

namespace switchyard::http::testing {

constexpr std::chrono::seconds kPatience{30};  // after which a test fails rather than hangs

struct Reply {
  int status = 0;
  std::string head;
  std::string body;
  bool whole = false;  ///< the body ended as its framing says, and not by the end of the connection
};

/// One connection, blocking, with a bound on every wait.
class Client {
 public:
  explicit Client(std::uint16_t port, int receive_buffer = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  explicit Client(const std::string& unix_path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, unix_path.c_str(), sizeof address.sun_path - 1);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  Client(Client&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_), seen_(std::move(other.seen_)) {}
  Client& operator=(Client&&) = delete;
  ~Client() { close(); }

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] int fd() const { return fd_; }

  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }

  /// False when the server no longer takes it.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  /// Waits for more bytes; false at the end of the connection.
  bool receive() {
    pollfd wait{fd_, POLLIN, 0};
    if (::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) != 1) {
      ADD_FAILURE() << "nothing came; so far: " << seen_.substr(0, 300);
      return false;
    }
    std::string buffer(64 << 10, '\0');
    const auto got = ::recv(fd_, buffer.data(), buffer.size(), 0);
    was_reset_ = got < 0;
    if (got <= 0) return false;
    seen_.append(buffer, 0, static_cast<std::size_t>(got));
    return true;
  }
  [[nodiscard]] bool was_reset() const { return was_reset_; }

  /// True when the server closes without another byte.
  bool at_end() { return seen_.empty() && !receive() && seen_.empty(); }

  /// Everything up to and including `end`, or what came before the connection ended.
  std::string read_until(std::string_view end) {
    auto at = seen_.find(end);
    while (at == std::string::npos && receive()) at = seen_.find(end);
    return take(at == std::string::npos ? seen_.size() : at + end.size());
  }

  Reply read_reply(bool has_body = true) {
    Reply reply;
    reply.head = read_until("\r\n\r\n");
    if (reply.head.size() < 12) return reply;
    reply.status = std::atoi(reply.head.c_str() + 9);
    if (!has_body || reply.status == 204 || reply.status == 304) {
      reply.whole = true;
    } else if (const auto length = header(reply.head, "Content-Length"); !length.empty()) {
      const std::size_t size = std::stoul(length);
      while (seen_.size() < size && receive()) continue;
      reply.whole = seen_.size() >= size;
      reply.body = take(std::min(size, seen_.size()));
    } else if (header(reply.head, "Transfer-Encoding") == "chunked") {
      read_chunks(reply);
    } else {
      while (receive()) continue;
      reply.whole = !was_reset_;
      reply.body = take(seen_.size());
    }
    return reply;
  }

  Reply get(const std::string& target) {
    send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
    return read_reply();
  }
  Reply post(const std::string& target, const std::string& body) {
    send("POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body);
    return read_reply();
  }

  static std::string header(const std::string& head, std::string_view name) {
    std::size_t at = 0;
    while ((at = head.find("\r\n", at)) != std::string::npos) {
      at += 2;
      const auto line = head.substr(at, head.find("\r\n", at) - at);
      const auto colon = line.find(": ");
      if (colon != std::string::npos && boost::beast::iequals(line.substr(0, colon), name)) {
        return line.substr(colon + 2);
      }
    }
    return {};
  }

 private:
  std::string take(std::size_t size) {
    std::string out = seen_.substr(0, size);
    seen_.erase(0, size);
    return out;
  }

  void read_chunks(Reply& reply) {
    for (;;) {
      const auto line = read_until("\r\n");
      if (!line.ends_with("\r\n")) return;
      const std::size_t size = std::stoul(line, nullptr, 16);
      while (seen_.size() < size + 2 && receive()) continue;
      if (seen_.size() < size + 2) return;
      const auto chunk = take(size + 2);
      reply.body += chunk.substr(0, size);
      if (size == 0) {
        reply.whole = true;
        return;
      }
    }
  }

  int fd_;
  bool connected_ = false;
  bool was_reset_ = false;
  std::string seen_;
};

/// Hands exchanges, or anything else that a server's threads produce, to the test's own thread.
template <class T>
class Queue {
 public:
  void push(T value) {
    const MutexLock lock(mutex_);
    values_.push_back(std::move(value));
    changed_.notify_all();
  }
  T pop() {
    const MutexLock lock(mutex_);
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (values_.empty()) {
      if (!changed_.wait_until(mutex_, end)) {
        ADD_FAILURE() << "nothing came";
        return T();
      }
    }
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::deque<T> values_ GUARDED_BY(mutex_);
};

/// A server on a free port of 127.0.0.1. Paths: /hold gives the exchange to the test, /stream sends three
/// events, /status/N answers with N, /crowded with whether the connection is, /size with the size of the
/// body, /drop forgets the exchange, /throw throws; any other path is echoed.
class TestServer {
 public:
  explicit TestServer(ServerOptions options = {}) {
    options.port = 0;
    auto started = Server::start(std::move(options),
                                 [held = held_](const ExchangePtr& exchange) { answer(exchange, *held); });
    if (!started) {
      ADD_FAILURE() << started.error().to_string();
      return;
    }
    server_ = std::move(*started);
  }

  Server* operator->() { return server_.get(); }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }
  /// The next exchange of a request for /hold.
  ExchangePtr held() { return held_->pop(); }
  void destroy() { server_.reset(); }

 private:
  static void answer(const ExchangePtr& exchange, Queue<ExchangePtr>& held) {
    const auto& request = exchange->request();
    if (request.path == "/hold") return held.push(exchange);
    if (request.path == "/drop") return;
    if (request.path == "/throw") throw std::runtime_error("on purpose");
    Response response;
    response.content_type = "text/plain";
    if (request.path == "/stream") {
      exchange->start_stream(response);
      for (const char* event : {"data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n"}) exchange->write(event);
      return exchange->finish();
    }
    if (request.path.starts_with("/status/")) response.status = std::stoi(request.path.substr(8));
    response.body = request.method + " " + request.path + " " + request.body;
    if (request.path == "/crowded") response.body = request.crowded ? "yes" : "no";
    if (request.path == "/size") response.body = std::to_string(request.body.size());
    exchange->respond(std::move(response));
  }

  std::shared_ptr<Queue<ExchangePtr>> held_ = std::make_shared<Queue<ExchangePtr>>();
  std::unique_ptr<Server> server_;
};

}  // namespace switchyard::http::testing
