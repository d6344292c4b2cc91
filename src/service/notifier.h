#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace switchyard::service {

/// Tells systemd, or whoever set NOTIFY_SOCKET, how this process is: the datagrams of sd_notify(3). Without
/// such a socket nothing happens. Any thread; never blocks; what cannot be sent is lost.
class Notifier {
 public:
  Notifier() = default;
  /// `socket` is a path, or a name after '@' (an abstract socket).
  explicit Notifier(std::string socket, std::optional<Duration> watchdog = {})
      : socket_(std::move(socket)), watchdog_(watchdog) {}

  /// From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which it takes out of the environment: children are
  /// not to speak for us. Call it before there are other threads.
  [[nodiscard]] static Notifier from_environment();

  [[nodiscard]] bool active() const { return !socket_.empty(); }
  /// How often alive() must be called at the least; nothing where nobody watches.
  [[nodiscard]] std::optional<Duration> watchdog() const { return watchdog_; }

  void ready() const { send("READY=1"); }
  /// Followed by ready() when it is done.
  void reloading() const;
  void stopping() const { send("STOPPING=1"); }
  void alive() const { send("WATCHDOG=1"); }
  /// One line for people, shown by `systemctl status`.
  void status(std::string_view text) const;

 private:
  void send(std::string_view text) const;

  std::string socket_;
  std::optional<Duration> watchdog_;
};

}  // namespace switchyard::service
