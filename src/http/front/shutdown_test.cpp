#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "http/front/test_client.h"

namespace switchyard::http {
namespace {

using testing::Client;
using testing::Queue;
using testing::TestServer;
using namespace std::chrono_literals;

TEST(Shutdown, AnswersWhatIsInFlight) {
  TestServer server;
  Client whole(server.port());
  Client stream(server.port());
  Client idle(server.port());
  ASSERT_EQ(idle.get("/a").status, 200);
  whole.send("GET /hold HTTP/1.1\r\n\r\n");
  const auto whole_exchange = server.held();
  stream.send("GET /hold HTTP/1.1\r\n\r\n");
  const auto stream_exchange = server.held();
  stream_exchange->start_stream({});
  stream_exchange->write("a");

  Queue<bool> answered;
  std::thread stopper([&] { answered.push(server->shutdown(30s)); });
  EXPECT_TRUE(idle.at_end());
  EXPECT_FALSE(idle.was_reset());
  EXPECT_FALSE(whole_exchange->client_gone());

  whole_exchange->respond({.body = "done"});
  const auto reply = whole.read_reply();
  EXPECT_EQ(reply.body, "done");
  EXPECT_EQ(Client::header(reply.head, "Connection"), "close");
  EXPECT_TRUE(whole.at_end());
  stream_exchange->write("b");
  stream_exchange->finish();
  const auto streamed = stream.read_reply();
  EXPECT_EQ(streamed.body, "ab");
  EXPECT_TRUE(streamed.whole);
  EXPECT_TRUE(stream.at_end());
  EXPECT_TRUE(answered.pop());
  stopper.join();
  EXPECT_EQ(server->stats().connections, 0U);
}

TEST(Shutdown, IsBoundedAndTellsSo) {
  TestServer server;
  Client client(server.port());
  client.send("GET /hold HTTP/1.1\r\n\r\n");
  const auto exchange = server.held();
  EXPECT_FALSE(server->shutdown(50ms));
  EXPECT_TRUE(exchange->client_gone());
  EXPECT_TRUE(client.at_end());
  exchange->respond({.body = "too late"});
}

TEST(Shutdown, StopAcceptingRefusesNewConnections) {
  TestServer server;
  const auto port = server.port();
  EXPECT_TRUE(Client(port).connected());
  server->stop_accepting();
  EXPECT_FALSE(Client(port).connected());
  server->stop_accepting();
  EXPECT_TRUE(server->shutdown(1s));
  EXPECT_TRUE(server->shutdown(1s));
}

TEST(Shutdown, ARequestThatIsBeingSentIsStillAnswered) {
  TestServer server;
  Client client(server.port());
  client.send("POST /a HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  server->stop_accepting();
  client.send("body");
  const auto reply = client.read_reply();
  EXPECT_EQ(reply.body, "POST /a body");
  EXPECT_EQ(Client::header(reply.head, "Connection"), "close");
}

TEST(Shutdown, ExchangesOutliveTheServer) {
  TestServer server;
  Client client(server.port());
  Client streaming(server.port());
  client.send("GET /hold HTTP/1.1\r\n\r\n");
  const auto exchange = server.held();
  streaming.send("GET /hold HTTP/1.1\r\n\r\n");
  const auto stream = server.held();
  stream->start_stream({});
  auto gone = std::make_shared<Queue<bool>>();
  exchange->on_client_gone([gone] { gone->push(true); });
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop) stream->write("x");
  });
  server.destroy();
  EXPECT_TRUE(gone->pop());
  stop = true;
  writer.join();
  EXPECT_EQ(exchange->request().path, "/hold");
  EXPECT_TRUE(exchange->client_gone());
  exchange->respond({.body = "nobody"});
  EXPECT_TRUE(client.at_end());
  EXPECT_TRUE(stream->write("x"));
  stream->when_writable([gone] { gone->push(true); });
  EXPECT_TRUE(gone->pop());
  stream->finish();
}

TEST(Shutdown, ServersComeAndGo) {
  for (int i = 0; i < 20; ++i) {
    TestServer server;
    Client client(server.port());
    ASSERT_EQ(client.get("/a").status, 200);
  }
}

}  // namespace
}  // namespace switchyard::http
