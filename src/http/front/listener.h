#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/front/transport.h"
#include "switchyard/result.h"

namespace switchyard::http {

/// A bound and listening socket that is not accepting yet. Move-only; a Unix socket's file goes with it.
class BoundSocket {
 public:
  BoundSocket(int fd, std::string address, std::string unix_path = {});
  BoundSocket(BoundSocket&& other) noexcept;
  BoundSocket& operator=(BoundSocket&&) = delete;
  ~BoundSocket();

  [[nodiscard]] int fd() const { return fd_; }
  /// "127.0.0.1:8080", "[::1]:8080" or "/run/switchyard.sock".
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] bool is_unix() const { return !unix_path_.empty(); }

 private:
  int fd_;
  std::string address_;
  std::string unix_path_;
  std::uint64_t inode_ = 0;  ///< of the socket's file: another server's is left alone
};

struct Bound {
  std::vector<BoundSocket> sockets;
  std::uint16_t port = 0;  ///< 0 with Unix sockets only
};

/// Binds every host of `options`. With port 0 all get the same free port. Blocks for name lookups.
/// Errors: kInvalidArgument for a host that is none, kConflict for a port or socket file in use.
[[nodiscard]] Result<Bound> bind_all(const ServerOptions& options);

/// Accepts on one socket until destroyed. Loop thread.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  using Accepted = std::function<void(Socket socket, std::string remote)>;

  Listener(boost::asio::io_context& loop, BoundSocket socket, Accepted accepted);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void start() { wait(); }

 private:
  void wait();
  void accept_ready();
  void pause();

  using Executor = boost::asio::io_context::executor_type;
  boost::asio::io_context& loop_;
  const Accepted accepted_;
  BoundSocket bound_;
  boost::asio::posix::basic_stream_descriptor<Executor> watch_;
  boost::asio::steady_timer pause_;
  bool starved_ = false;
};

}  // namespace switchyard::http
