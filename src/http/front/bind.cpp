#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "http/front/address.h"
#include "http/front/listener.h"

namespace switchyard::http {
namespace {

constexpr int kBacklog = 4096;  // the kernel lowers it to net.core.somaxconn
constexpr int kPortTries = 16;  // a port free on one address may be taken on the next

std::string errno_text() { return std::strerror(errno); }

std::uint64_t inode_of(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;
};

Result<std::vector<Endpoint>> resolve(const std::string& host) {
  std::string name = host;
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int rc = ::getaddrinfo(name.empty() ? nullptr : name.c_str(), "0", &hints, &found);
  if (rc != 0) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("'{}' is not an address or a known host name of this machine", host),
                ::gai_strerror(rc));
  }
  std::vector<Endpoint> out;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    Endpoint endpoint;
    endpoint.size = info->ai_addrlen;
    std::memcpy(&endpoint.address, info->ai_addr, info->ai_addrlen);
    out.push_back(endpoint);
  }
  ::freeaddrinfo(found);
  return out;
}

void set_port(Endpoint& endpoint, std::uint16_t port) {
  if (endpoint.address.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in&>(endpoint.address).sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6&>(endpoint.address).sin6_port = htons(port);
  }
}

/// A listening socket or -1 with errno.
int listen_on(const Endpoint& endpoint, bool reuse_port, bool v6_only) {
  const int fd = ::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const int on = 1;
  const int only = v6_only ? 1 : 0;
  if (endpoint.address.ss_family != AF_UNIX) {
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (reuse_port) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  }
  if (endpoint.address.ss_family == AF_INET6) {
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  }
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.size) == 0 &&
      ::listen(fd, kBacklog) == 0) {
    return fd;
  }
  const int why = errno;
  ::close(fd);
  errno = why;
  return -1;
}

Result<Endpoint> unix_endpoint(const std::string& path) {
  Endpoint endpoint;
  auto& address = reinterpret_cast<sockaddr_un&>(endpoint.address);
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("the socket path '{}' is longer than {} characters",
                                                         path, sizeof address.sun_path - 1));
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  endpoint.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return endpoint;
}

/// Removes the file of a server that is gone: a socket that nobody answers on.
Status remove_stale(const std::string& path, const Endpoint& endpoint) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return fail(ErrorCode::kConflict,
                fmt::format("'{}' exists and is not a socket; choose another path", path));
  }
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int rc = ::connect(fd, reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.size);
  const int why = errno;
  ::close(fd);
  if (rc == 0 || why != ECONNREFUSED) {
    return fail(ErrorCode::kConflict,
                fmt::format("another server answers on '{}'; stop it or choose another path", path));
  }
  ::unlink(path.c_str());
  return {};
}

Result<BoundSocket> bind_unix(const std::string& path) {
  const auto endpoint = unix_endpoint(path);
  if (!endpoint) return std::unexpected(endpoint.error());
  if (auto removed = remove_stale(path, *endpoint); !removed) return std::unexpected(removed.error());
  const int fd = listen_on(*endpoint, false, false);
  if (fd < 0) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("cannot listen on '{}'", path), errno_text());
  }
  return BoundSocket(fd, path, path);
}

Error bind_error(const Endpoint& endpoint, int why) {
  const auto address = address_text(endpoint.address);
  if (why == EADDRINUSE) {
    return {ErrorCode::kConflict,
            fmt::format("{} is in use; stop what listens there or choose another port (0: any free one)",
                        address),
            {}};
  }
  return {ErrorCode::kInvalidArgument, fmt::format("cannot listen on {}", address), std::strerror(why)};
}

/// Binds all endpoints to one port; port 0 is chosen by the first.
Result<Bound> bind_tcp(std::vector<Endpoint> endpoints, std::uint16_t port, bool reuse_port) {
  // "::" takes IPv4 as well, unless that is asked for by itself.
  const bool v6_only = std::any_of(endpoints.begin(), endpoints.end(),
                                   [](const Endpoint& e) { return e.address.ss_family == AF_INET; });
  Bound bound;
  bound.port = port;
  Error skipped;
  for (auto& endpoint : endpoints) {
    set_port(endpoint, bound.port);
    const int fd = listen_on(endpoint, reuse_port, v6_only);
    if (fd < 0) {
      skipped = bind_error(endpoint, errno);
      // A name may stand for a family that this machine does not have.
      if (errno == EAFNOSUPPORT || (errno == EADDRNOTAVAIL && endpoints.size() > 1)) continue;
      return std::unexpected(skipped);
    }
    socklen_t size = sizeof endpoint.address;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&endpoint.address), &size);
    bound.port = port_of(endpoint.address);
    bound.sockets.emplace_back(fd, address_text(endpoint.address));
  }
  if (bound.sockets.empty() && !endpoints.empty()) return std::unexpected(skipped);
  return bound;
}

}  // namespace

BoundSocket::BoundSocket(int fd, std::string address, std::string unix_path)
    : fd_(fd), address_(std::move(address)), unix_path_(std::move(unix_path)) {
  if (is_unix()) inode_ = inode_of(unix_path_);
}

BoundSocket::BoundSocket(BoundSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      address_(std::move(other.address_)),
      unix_path_(std::exchange(other.unix_path_, {})),
      inode_(other.inode_) {}

BoundSocket::~BoundSocket() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (is_unix() && inode_of(unix_path_) == inode_) ::unlink(unix_path_.c_str());
}

Result<Bound> bind_all(const ServerOptions& options) {
  std::vector<Endpoint> endpoints;
  std::vector<std::string> unix_paths;
  for (const auto& host : options.hosts) {
    if (host.ends_with(".sock")) {
      unix_paths.push_back(host);
      continue;
    }
    auto resolved = resolve(host);
    if (!resolved) return std::unexpected(resolved.error());
    for (const auto& endpoint : *resolved) {
      const auto same = [&](const Endpoint& e) {
        return address_text(e.address) == address_text(endpoint.address);
      };
      if (std::none_of(endpoints.begin(), endpoints.end(), same)) endpoints.push_back(endpoint);
    }
  }
  auto bound = bind_tcp(endpoints, options.port, options.reuse_port);
  for (int i = 1; i < kPortTries && options.port == 0 && !bound && bound.error().code == ErrorCode::kConflict;
       ++i) {
    bound = bind_tcp(endpoints, options.port, options.reuse_port);
  }
  if (!bound) return bound;
  for (const auto& path : unix_paths) {
    auto socket = bind_unix(path);
    if (!socket) return std::unexpected(socket.error());
    bound->sockets.push_back(std::move(*socket));
  }
  if (bound->sockets.empty()) return fail(ErrorCode::kInvalidArgument, "no host to listen on was given");
  return bound;
}

}  // namespace switchyard::http
