#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "service/notifier.h"
#include "service/watchdog.h"

namespace switchyard::service {
namespace {

using namespace std::chrono_literals;

/// What systemd listens on.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& name) : name_(name), file_(socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name.front() == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(bind(file_, reinterpret_cast<const sockaddr*>(&address), size), 0);
  }
  ~NotifySocket() {
    close(file_);
    std::error_code none;
    std::filesystem::remove(name_, none);
  }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  /// The next datagram; empty where there is none.
  std::string read() {
    std::array<char, 4096> bytes{};
    const ssize_t size = recv(file_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    return size < 0 ? std::string() : std::string(bytes.data(), static_cast<std::size_t>(size));
  }

 private:
  const std::string name_;
  const int file_;
};

std::string socket_path() { return ::testing::TempDir() + "/notify-" + std::to_string(getpid()); }

TEST(Notifiers, SendOneDatagramForEachState) {
  for (const std::string& name : {socket_path(), "@switchyard-test-" + std::to_string(getpid())}) {
    NotifySocket socket(name);
    const Notifier notifier(name);
    EXPECT_TRUE(notifier.active());
    notifier.ready();
    EXPECT_EQ(socket.read(), "READY=1");
    notifier.alive();
    EXPECT_EQ(socket.read(), "WATCHDOG=1");
    notifier.status("2 models are hot");
    EXPECT_EQ(socket.read(), "STATUS=2 models are hot");
    notifier.stopping();
    EXPECT_EQ(socket.read(), "STOPPING=1");
    notifier.reloading();
    const std::string reloading = socket.read();
    EXPECT_TRUE(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC=")) << reloading;
  }
}

TEST(Notifiers, WithoutAListenerNothingHappens) {
  Notifier().ready();
  Notifier("/no/such/socket").ready();
  Notifier(std::string(200, 'x')).ready();
  EXPECT_FALSE(Notifier().active());
}

TEST(Notifiers, TakeTheEnvironmentAlong) {
  const auto from = [](const char* socket, const char* interval, const std::string& process) {
    setenv("NOTIFY_SOCKET", socket, 1);
    setenv("WATCHDOG_USEC", interval, 1);
    setenv("WATCHDOG_PID", process.c_str(), 1);
    const Notifier notifier = Notifier::from_environment();
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
      EXPECT_EQ(getenv(name), nullptr) << name << " would be the children's, too";
    return notifier;
  };
  const std::string us = std::to_string(getpid());
  EXPECT_EQ(from("/s", "20000000", us).watchdog(), 20s);
  EXPECT_EQ(from("/s", "20000000", "").watchdog(), 20s);
  EXPECT_EQ(from("/s", "20000000", "1").watchdog(), std::nullopt) << "it is another process that is watched";
  EXPECT_EQ(from("/s", "", us).watchdog(), std::nullopt);
  EXPECT_EQ(from("", "20000000", us).watchdog(), std::nullopt);
  EXPECT_FALSE(Notifier::from_environment().active());
}

/// A part that answers when the test says so.
struct FakePart {
  std::vector<std::function<void()>> asked;
  Watchdog::Part part(const std::string& name) {
    return {name, [this](std::function<void()> done) { asked.push_back(std::move(done)); }};
  }
  void answer() {
    for (const auto& done : std::exchange(asked, {})) done();
  }
};

TEST(Watchdogs, AreAliveOnlyWhileEveryPartIs) {
  FakePart loop, timer;
  int alive = 0;
  Watchdog watchdog({loop.part("loop"), timer.part("timer")}, [&] { ++alive; });
  watchdog.tick();
  EXPECT_EQ(alive, 0) << "nobody has answered yet";
  loop.answer();
  timer.answer();
  watchdog.tick();
  EXPECT_EQ(alive, 1);
  timer.answer();  // and the loop hangs
  for (int i = 0; i < 10; ++i) watchdog.tick();
  EXPECT_EQ(alive, 1);
  EXPECT_EQ(loop.asked.size(), 1U) << "it is asked once, however long it hangs";
  loop.answer();
  watchdog.tick();
  EXPECT_EQ(alive, 2);
}

TEST(Watchdogs, MayBeAnsweredAfterTheirEnd) {
  FakePart loop;
  {
    const Watchdog watchdog({loop.part("loop")}, [] {});
  }
  loop.answer();
}

}  // namespace
}  // namespace switchyard::service
