#include "engine/worker/channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <vector>

namespace switchyard::engine::worker {
namespace {

constexpr std::size_t kBuffer = std::size_t{64} << 10;
constexpr std::size_t kMostPieces = 512;  // of one system call; the kernel takes 1024

std::unexpected<Error> gone() { return fail(ErrorCode::kUnavailable, "the other process is gone"); }

/// Takes `n` written bytes off the front.
void take_off(std::span<iovec>& pieces, std::size_t n) {
  while (!pieces.empty() && n >= pieces.front().iov_len) {
    n -= pieces.front().iov_len;
    pieces = pieces.subspan(1);
  }
  if (n == 0) return;
  pieces.front().iov_base = static_cast<char*>(pieces.front().iov_base) + n;
  pieces.front().iov_len -= n;
}

/// A message of one byte, with room for a descriptor beside it. Points into itself.
struct ByteWithDescriptor {
  ByteWithDescriptor() {
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = space.data();
    message.msg_controllen = space.size();
  }
  ByteWithDescriptor(const ByteWithDescriptor&) = delete;
  ByteWithDescriptor& operator=(const ByteWithDescriptor&) = delete;

  char byte = 0;
  iovec piece{.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
  msghdr message{};
};

bool poll_for(int fd, short what, std::chrono::milliseconds within) {
  pollfd poll{.fd = fd, .events = what, .revents = 0};
  return ::poll(&poll, 1, static_cast<int>(within.count())) > 0;
}

}  // namespace

Result<std::pair<Channel, Channel>> Channel::make_pair() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return fail(ErrorCode::kUnavailable,
                "there is no socket for a worker process: raise the limit of open files",
                std::strerror(errno));
  }
  return std::pair(Channel(Fd(fds[0])), Channel(Fd(fds[1])));
}

Status Channel::send(Kind kind, std::string_view fields,
                     std::span<const std::span<const std::uint8_t>> blobs) {
  if (blobs.size() > std::numeric_limits<std::uint16_t>::max())
    return fail(ErrorCode::kTooLarge, "too many parts for one message");
  std::vector<std::size_t> sizes;
  for (const auto& blob : blobs) sizes.push_back(blob.size());
  const std::string head = message_head(kind, fields.size(), sizes);
  const auto piece = [](const void* data, std::size_t size) {
    return iovec{.iov_base = const_cast<void*>(data), .iov_len = size};
  };
  std::vector<iovec> pieces{piece(head.data(), head.size()), piece(fields.data(), fields.size())};
  for (const auto& blob : blobs) pieces.push_back(piece(blob.data(), blob.size()));
  std::span<iovec> left(pieces);
  take_off(left, 0);
  while (!left.empty()) {
    msghdr message{};
    message.msg_iov = left.data();
    message.msg_iovlen = std::min(left.size(), kMostPieces);
    const ssize_t n = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return gone();
    take_off(left, static_cast<std::size_t>(n));
  }
  return {};
}

Status Channel::read(std::span<std::uint8_t> to) {
  while (!to.empty()) {
    if (begin_ < buffer_.size()) {
      const std::size_t n = std::min(to.size(), buffer_.size() - begin_);
      std::memcpy(to.data(), buffer_.data() + begin_, n);
      begin_ += n;
      to = to.subspan(n);
      continue;
    }
    const bool direct = to.size() >= kBuffer;
    if (!direct) buffer_.resize(kBuffer);
    std::uint8_t* const where = direct ? to.data() : buffer_.data();
    const ssize_t n = ::recv(socket_.get(), where, direct ? to.size() : kBuffer, 0);
    if (!direct) {
      begin_ = 0;
      buffer_.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    }
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return gone();
    if (direct) to = to.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Result<Message> Channel::receive() {
  return read_message([this](std::span<std::uint8_t> to) { return read(to); });
}

bool Channel::readable(std::chrono::milliseconds within) {
  return begin_ < buffer_.size() || poll_for(socket_.get(), POLLIN, within);
}

void Channel::hang_up() { ::shutdown(socket_.get(), SHUT_WR); }

bool Channel::hung_up() const { return poll_for(socket_.get(), POLLRDHUP, {}); }

Status Channel::send_socket(const Channel& given) {
  ByteWithDescriptor carrier;
  msghdr& message = carrier.message;
  cmsghdr* const control = CMSG_FIRSTHDR(&message);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = given.fd();
  std::memcpy(CMSG_DATA(control), &fd, sizeof(fd));
  ssize_t n = -1;
  while ((n = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL)) < 0 && errno == EINTR) {
  }
  if (n != 1) return gone();
  return {};
}

std::optional<Fd> Channel::receive_socket() {
  ByteWithDescriptor carrier;
  msghdr& message = carrier.message;
  ssize_t n = -1;
  while ((n = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
  }
  if (n != 1) return std::nullopt;
  const cmsghdr* const control = CMSG_FIRSTHDR(&message);
  if (control == nullptr || control->cmsg_type != SCM_RIGHTS) return Fd();
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(control), sizeof(fd));
  return Fd(fd);
}

}  // namespace switchyard::engine::worker
