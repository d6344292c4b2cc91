#include "service/notifier.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace switchyard::service {
namespace {

std::string take_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value == nullptr ? std::string() : value;
  ::unsetenv(name);
  return text;
}

std::uint64_t number_in(const std::string& text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

Notifier Notifier::from_environment() {
  std::string socket = take_variable("NOTIFY_SOCKET");
  const std::uint64_t interval = number_in(take_variable("WATCHDOG_USEC"));
  const std::string process = take_variable("WATCHDOG_PID");
  const bool is_ours = process.empty() || number_in(process) == static_cast<std::uint64_t>(::getpid());
  std::optional<Duration> watchdog;
  if (!socket.empty() && interval > 0 && is_ours) watchdog = std::chrono::microseconds(interval);
  return Notifier(std::move(socket), watchdog);
}

void Notifier::reloading() const {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();  // CLOCK_MONOTONIC
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                   std::chrono::duration_cast<std::chrono::microseconds>(now).count()));
}

void Notifier::status(std::string_view text) const { send(fmt::format("STATUS={}", text)); }

void Notifier::send(std::string_view text) const {
  sockaddr_un address{};
  if (socket_.empty() || socket_.size() >= sizeof(address.sun_path)) return;
  address.sun_family = AF_UNIX;
  std::ranges::copy(socket_, address.sun_path);
  const bool is_abstract = socket_.front() == '@';
  if (is_abstract) address.sun_path[0] = '\0';
  const int file = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (file < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  [[maybe_unused]] const auto sent = ::sendto(file, text.data(), text.size(), MSG_NOSIGNAL,
                                              reinterpret_cast<const sockaddr*>(&address), size);
  ::close(file);
}

}  // namespace switchyard::service
