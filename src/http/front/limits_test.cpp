#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string>
#include <vector>

#include "http/front/connection_room.h"
#include "http/front/test_client.h"

// Requests that are refused before a handler sees them, and many connections at once.

namespace switchyard::http {
namespace {

using testing::Client;
using testing::TestServer;

ServerOptions small_limits() {
  ServerOptions options;
  options.max_body = ByteSize(1000);
  options.max_header = ByteSize(2000);
  options.error_response = [](int status, std::string_view what) {
    return Response{.status = status, .body = "{\"error\":\"" + std::string(what) + "\"}"};
  };
  return options;
}

TEST(Limits, RefusedRequestsAreAnsweredAndEndTheConnection) {
  TestServer server(small_limits());
  const std::pair<std::string, int> table[] = {
      {"nonsense\r\n\r\n", 400},
      {"GET /%00 HTTP/1.1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413},
      {"POST / HTTP/1.1\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n", 413},
      {"GET / HTTP/1.1\r\nA: " + std::string(3000, 'a') + "\r\n\r\n", 431},
  };
  for (const auto& [bytes, status] : table) {
    Client client(server.port());
    client.send(bytes);
    const auto reply = client.read_reply();
    EXPECT_EQ(reply.status, status) << bytes.substr(0, 60);
    EXPECT_TRUE(reply.whole);
    EXPECT_TRUE(reply.body.starts_with("{\"error\":\"")) << reply.body;
    EXPECT_EQ(Client::header(reply.head, "Connection"), "close");
    EXPECT_TRUE(client.at_end());
    EXPECT_FALSE(client.was_reset());
  }
  EXPECT_EQ(Client(server.port()).get("/a").status, 200);
  EXPECT_EQ(server->stats().requests, 1U) << "no handler saw the others";
}

TEST(Limits, ATooLargeBodyThatIsSentAllTheSameDoesNotHideTheAnswer) {
  TestServer server(small_limits());
  Client client(server.port());
  client.send("POST / HTTP/1.1\r\nContent-Length: 4000000\r\n\r\n");
  EXPECT_TRUE(client.send(std::string(4'000'000, 'x'))) << "a reset here would lose the answer";
  EXPECT_EQ(client.read_reply().status, 413);
}

TEST(Limits, ASlowHeadRunsOutOfTime) {
  auto options = small_limits();
  options.header_timeout = std::chrono::seconds(1);
  TestServer server(options);
  Client head(server.port());
  Client body(server.port());
  Client idle(server.port());
  head.send("GET / HTTP/1.1\r\nA:");
  body.send("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(head.read_reply().status, 408);
  EXPECT_TRUE(head.at_end());
  EXPECT_EQ(body.read_reply().status, 408);
  EXPECT_EQ(idle.get("/a").status, 200) << "an idle connection has another limit";
}

TEST(Limits, AnIdleConnectionIsClosedInSilence) {
  auto options = small_limits();
  options.idle_timeout = std::chrono::seconds(1);
  TestServer server(options);
  Client client(server.port());
  EXPECT_EQ(client.get("/a").status, 200);
  EXPECT_TRUE(client.at_end());
  EXPECT_FALSE(client.was_reset());
}

TEST(Limits, AHeldRequestHasNoTimeout) {
  auto options = small_limits();
  options.idle_timeout = std::chrono::seconds(1);
  options.header_timeout = std::chrono::seconds(1);
  TestServer server(options);
  Client idle(server.port());
  EXPECT_EQ(idle.get("/a").status, 200);
  Client client(server.port());
  client.send("GET /hold HTTP/1.1\r\n\r\n");
  const auto held = server.held();
  ASSERT_TRUE(idle.at_end()) << "the other connection shows that the time has passed";
  held->respond({.body = "late"});
  EXPECT_EQ(client.read_reply().body, "late");
}

TEST(Limits, AReaderThatTakesNothingIsGivenUp) {
  auto options = small_limits();
  options.write_timeout = std::chrono::seconds(1);
  TestServer server(options);
  Client client(server.port(), /*receive_buffer=*/4096);
  client.send("GET /hold HTTP/1.1\r\n\r\n");
  const auto held = server.held();
  auto gone = std::make_shared<testing::Queue<bool>>();
  held->on_client_gone([gone] { gone->push(true); });
  held->start_stream({});
  held->write(std::string(16 << 20, 'x'));
  EXPECT_TRUE(gone->pop());
  EXPECT_TRUE(held->client_gone());
}

TEST(Limits, TheBodiesInMemoryAreBoundedUntilTheirAnswers) {
  ServerOptions options = small_limits();
  options.max_body = ByteSize(200 << 10);
  options.max_bodies = ByteSize(250 << 10);
  TestServer server(options);
  const std::string large(150 << 10, 'x');
  Client first(server.port());
  first.send("POST /hold HTTP/1.1\r\nContent-Length: " + std::to_string(large.size()) + "\r\n\r\n" + large);
  auto held = server.held();
  Client announced(server.port()), chunked(server.port());
  announced.send("POST /size HTTP/1.1\r\nContent-Length: " + std::to_string(large.size()) + "\r\n\r\n");
  EXPECT_EQ(announced.read_reply().status, 503) << "before it is sent";
  chunked.send("POST /size HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n25800\r\n" + large);
  EXPECT_EQ(chunked.read_reply().status, 503);
  EXPECT_EQ(Client(server.port()).post("/size", std::string(64 << 10, 'y')).body, "65536")
      << "small ones go on";
  held->respond({});
  held.reset();
  EXPECT_EQ(first.read_reply().status, 200);
  EXPECT_EQ(Client(server.port()).post("/size", large).body, std::to_string(large.size()));
}

TEST(Limits, TheOldestIdleConnectionMakesRoom) {
  ServerOptions options = small_limits();
  options.descriptors = 80;
  const auto room = connection_room(options.descriptors);
  TestServer server(options);
  std::vector<Client> clients;
  for (std::uint64_t i = 0; i < room.ordinary; ++i) {
    clients.emplace_back(server.port());
    ASSERT_EQ(clients.back().get("/crowded").body, "no");
  }
  Client next(server.port());
  EXPECT_EQ(next.get("/crowded").body, "no");
  EXPECT_TRUE(clients.front().at_end());
  EXPECT_EQ(clients.back().get("/a").status, 200);
}

TEST(Limits, WhereAllAreBusyAConnectionIsThereForAShortAnswer) {
  ServerOptions options = small_limits();
  options.descriptors = 80;
  const auto room = connection_room(options.descriptors);
  TestServer server(options);
  std::vector<Client> clients;
  std::vector<ExchangePtr> held;
  for (std::uint64_t i = 0; i < room.ordinary; ++i) {
    clients.emplace_back(server.port());
    clients.back().send("GET /hold HTTP/1.1\r\n\r\n");
    held.push_back(server.held());
  }
  for (int i = 0; i < 100; ++i) {
    Client crowded(server.port());
    const auto reply = crowded.get("/crowded");
    ASSERT_EQ(reply.body, "yes");
    ASSERT_EQ(Client::header(reply.head, "Connection"), "close");
  }
  for (std::size_t i = 0; i < held.size(); ++i) {
    held[i]->respond({.body = "done"});
    EXPECT_EQ(clients[i].read_reply().body, "done");
  }
}

TEST(ConnectionRoom, LeavesDescriptorsForTheRest) {
  for (const std::uint64_t descriptors : {0ULL, 64ULL, 128ULL, 1024ULL, 1ULL << 20, ~0ULL}) {
    const auto room = connection_room(descriptors);
    EXPECT_GE(room.ordinary, 1U);
    if (descriptors < 128) continue;
    EXPECT_LE(room.ordinary + room.crowded + 48, descriptors);
  }
}

int thread_count() {
  int count = 0;
  DIR* tasks = ::opendir("/proc/self/task");
  while (::readdir(tasks) != nullptr) ++count;
  ::closedir(tasks);
  return count;
}

TEST(Limits, ThreeThousandIdleConnectionsCostNoThread) {
  TestServer server;  // raises the limit of open files
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 6200) GTEST_SKIP() << "only " << files.rlim_cur << " open files allowed here";
  const int threads = thread_count();
  std::vector<Client> clients;
  for (int i = 0; i < 3000; ++i) {
    clients.emplace_back(server.port());
    ASSERT_TRUE(clients.back().connected());
    ASSERT_EQ(clients.back().get("/a").status, 200);
  }
  EXPECT_EQ(server->stats().connections, 3000U);
  EXPECT_EQ(thread_count(), threads);
  EXPECT_EQ(Client(server.port()).get("/health").status, 200);
  for (auto& client : clients) ASSERT_EQ(client.get("/b").status, 200);
}

}  // namespace
}  // namespace switchyard::http
