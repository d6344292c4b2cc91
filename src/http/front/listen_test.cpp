#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "http/front/test_client.h"

// Hosts: addresses, names, Unix sockets; and what is in use.

namespace switchyard::http {
namespace {

using testing::Client;
using testing::TestServer;
namespace fs = std::filesystem;

class ListenTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "switchyard-listen-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { fs::remove_all(dir_); }
  [[nodiscard]] std::string path(const std::string& name) const { return (dir_ / name).string(); }

  static Result<std::unique_ptr<Server>> start(std::vector<std::string> hosts, std::uint16_t port = 0) {
    ServerOptions options;
    options.hosts = std::move(hosts);
    options.port = port;
    return Server::start(options, [](const ExchangePtr& exchange) {
      exchange->respond({.body = exchange->request().remote});
    });
  }

  fs::path dir_;
};

TEST_F(ListenTest, TcpAndUnixTogether) {
  const auto socket = path("front.sock");
  auto server = start({"127.0.0.1", socket});
  ASSERT_TRUE(server) << server.error().to_string();
  const auto port = std::to_string((*server)->port());
  EXPECT_EQ((*server)->addresses(),
            (std::vector<std::string>{"http://127.0.0.1:" + port, "unix://" + socket}));
  EXPECT_EQ(Client(socket).get("/").body, "unix");
  EXPECT_TRUE(Client((*server)->port()).get("/").body.starts_with("127.0.0.1:"));
  server->reset();
  EXPECT_FALSE(fs::exists(socket)) << "the file goes with the server";
}

TEST_F(ListenTest, AUnixSocketThatIsAnsweredIsLeftAlone) {
  const auto socket = path("front.sock");
  auto first = start({socket});
  ASSERT_TRUE(first);
  EXPECT_EQ((*first)->port(), 0);
  const auto second = start({socket});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kConflict);
  EXPECT_EQ(Client(socket).get("/").status, 200);
}

TEST_F(ListenTest, AStaleUnixSocketIsReplaced) {
  const auto socket = path("front.sock");
  {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket.c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::close(fd);
  }
  ASSERT_TRUE(fs::exists(socket));
  const auto server = start({socket});
  ASSERT_TRUE(server) << server.error().to_string();
  EXPECT_EQ(Client(socket).get("/").status, 200);
}

TEST_F(ListenTest, AFileThatIsNoSocketIsKept) {
  const auto file = path("precious.sock");
  std::ofstream(file) << "data";
  const auto server = start({file});
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code, ErrorCode::kConflict);
  EXPECT_TRUE(fs::exists(file));
}

TEST_F(ListenTest, TheFileOfASuccessorIsNotRemoved) {
  const auto socket = path("front.sock");
  auto first = start({socket});
  ASSERT_TRUE(first);
  fs::remove(socket);
  const auto second = start({socket});
  ASSERT_TRUE(second);
  first->reset();
  EXPECT_EQ(Client(socket).get("/").status, 200);
}

TEST_F(ListenTest, APortInUseIsAConflict) {
  const auto first = start({"127.0.0.1"});
  ASSERT_TRUE(first);
  const auto second = start({"127.0.0.1"}, (*first)->port());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kConflict);
  EXPECT_NE(second.error().message.find(std::to_string((*first)->port())), std::string::npos);
}

TEST_F(ListenTest, BadHostsAreRefused) {
  for (const std::string host : {"no.such.host.invalid", "192.0.2.1", "999.1.1.1"}) {
    const auto server = start({host});
    ASSERT_FALSE(server) << host;
    EXPECT_EQ(server.error().code, ErrorCode::kInvalidArgument) << server.error().to_string();
  }
  EXPECT_FALSE(start({}));
  EXPECT_FALSE(start({path(std::string(200, 'x') + ".sock")}));
}

TEST_F(ListenTest, NamesAndIpv6) {
  auto server = start({"localhost"});
  ASSERT_TRUE(server) << server.error().to_string();
  EXPECT_EQ(Client((*server)->port()).get("/").status, 200);
  auto v6 = start({"[::1]"});
  if (!v6) GTEST_SKIP() << v6.error().to_string();
  EXPECT_EQ((*v6)->addresses().at(0), "http://[::1]:" + std::to_string((*v6)->port()));
}

TEST_F(ListenTest, ARestartTakesItsPortBack) {
  std::uint16_t port = 0;
  for (int i = 0; i < 3; ++i) {
    const auto server = start({"127.0.0.1"}, port);
    ASSERT_TRUE(server) << server.error().to_string();
    port = (*server)->port();
    Client client(port);
    client.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(client.read_reply().status, 200);
    EXPECT_TRUE(client.at_end());
  }
}

}  // namespace
}  // namespace switchyard::http
