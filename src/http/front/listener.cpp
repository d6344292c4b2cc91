#include "http/front/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "http/front/address.h"
#include "telemetry/log.h"

namespace switchyard::http {
namespace {

constexpr int kBatch = 64;  // accepted in one go before others get their turn
constexpr std::chrono::milliseconds kPause{100};
constexpr int kMostUnsent = 128 << 10;

bool is_starvation(int why) { return why == EMFILE || why == ENFILE || why == ENOBUFS || why == ENOMEM; }

}  // namespace

Listener::Listener(boost::asio::io_context& loop, BoundSocket socket, Accepted accepted)
    : loop_(loop),
      accepted_(std::move(accepted)),
      bound_(std::move(socket)),
      watch_(loop.get_executor()),
      pause_(loop) {
  // A descriptor of its own, so that BoundSocket keeps sole ownership of the one it closes.
  watch_.assign(::fcntl(bound_.fd(), F_DUPFD_CLOEXEC, 0));
}

void Listener::wait() {
  watch_.async_wait(decltype(watch_)::wait_read, [weak = weak_from_this()](boost::system::error_code ec) {
    if (const auto self = ec ? nullptr : weak.lock()) self->accept_ready();
  });
}

void Listener::accept_ready() {
  for (int i = 0; i < kBatch; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    // accept4 rather than the library's accept: a child process must not inherit the connection.
    const int fd =
        ::accept4(bound_.fd(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (is_starvation(errno)) return pause();
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      continue;  // this one connection failed: aborted by the client, a network error
    }
    starved_ = false;
    if (!bound_.is_unix()) {
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
      // The kernel would queue megabytes for a client that reads nothing. What is under way is not bounded by
      // it.
      ::setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kMostUnsent, sizeof kMostUnsent);
    }
    Socket socket(loop_.get_executor());
    boost::system::error_code ec;
    socket.assign(boost::asio::generic::stream_protocol(bound_.is_unix() ? AF_UNIX : peer.ss_family, 0), fd,
                  ec);
    if (ec) {
      ::close(fd);
      continue;
    }
    accepted_(std::move(socket), bound_.is_unix() ? "unix" : address_text(peer));
  }
  wait();
}

/// Waiting connections stay in the kernel's queue meanwhile; trying again at once would spin.
void Listener::pause() {
  if (!std::exchange(starved_, true)) {
    telemetry::log_warning("http", "cannot accept connections: {}; trying again every {} ms",
                           std::strerror(errno), kPause.count());
  }
  pause_.expires_after(kPause);
  pause_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    if (const auto self = ec ? nullptr : weak.lock()) self->accept_ready();
  });
}

}  // namespace switchyard::http
