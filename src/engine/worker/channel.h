#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "engine/worker/message.h"

namespace switchyard::engine::worker {

/// One end of a pair of connected sockets: the whole of one call between the server and a worker, or the
/// control socket over which the sockets of calls are handed. What is not read stays in the kernel's buffer,
/// and then with the sender: a slow reader holds up its own call only. When a process dies the other one
/// sees the end of every channel.
///
/// One thread may send and another one receive at the same time. Errors: kUnavailable when the other end is
/// gone.
class Channel {
 public:
  explicit Channel(Fd socket) : socket_(std::move(socket)) {}
  [[nodiscard]] static Result<std::pair<Channel, Channel>> make_pair();

  /// Blocks while the other end does not read.
  [[nodiscard]] Status send(Kind kind, std::string_view fields = {},
                            std::span<const std::span<const std::uint8_t>> blobs = {});
  /// Blocks until a whole message is there. Errors: also kInternal for what is none.
  [[nodiscard]] Result<Message> receive();
  /// Whether receive() has something to read, be it the end, within this time.
  [[nodiscard]] bool readable(std::chrono::milliseconds within);

  /// Nothing more comes from here; the other end's hung_up() is true from now on. What it says is still
  /// received.
  void hang_up();
  /// Whether the other end has hung up or is gone.
  [[nodiscard]] bool hung_up() const;

  /// Gives a socket to the process at the other end.
  [[nodiscard]] Status send_socket(const Channel& given);
  /// Blocks for one. Nothing when the other end is gone; a closed one when this process has no room for it.
  [[nodiscard]] std::optional<Fd> receive_socket();

  [[nodiscard]] int fd() const { return socket_.get(); }
  /// The socket itself; the channel is of no use any more.
  [[nodiscard]] Fd take() { return std::move(socket_); }

 private:
  [[nodiscard]] Status read(std::span<std::uint8_t> to);

  Fd socket_;
  Bytes buffer_ = {};
  std::size_t begin_ = 0;  ///< of what of the buffer has not been taken
};

/// The bytes of a text as a blob.
[[nodiscard]] inline std::span<const std::uint8_t> as_blob(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
[[nodiscard]] inline std::string to_text(std::span<const std::uint8_t> blob) {
  return {reinterpret_cast<const char*>(blob.data()), blob.size()};
}

}  // namespace switchyard::engine::worker
