#include <gtest/gtest.h>

#include "http/front/test_client.h"

// What keeps a connection open, and what ends it.

namespace switchyard::http {
namespace {

using testing::Client;
using testing::TestServer;

TEST(KeepAlive, OutlastsAnyNumberOfAnswersErrorsAndStreams) {
  TestServer server;
  Client client(server.port());
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(client.post("/echo", "body").body, "POST /echo body");
    ASSERT_EQ(client.get("/status/404").status, 404);
    ASSERT_EQ(client.get("/status/500").status, 500);
    const auto stream = client.get("/stream");
    ASSERT_TRUE(stream.whole);
    ASSERT_EQ(stream.body, "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n");
    ASSERT_EQ(Client::header(stream.head, "Connection"), "");
  }
  EXPECT_EQ(server->stats().requests, 1200U);
  EXPECT_EQ(server->stats().connections, 1U);
}

TEST(KeepAlive, EndsWhenTheClientSaysSo) {
  TestServer server;
  Client client(server.port());
  client.send("GET /a HTTP/1.1\r\nConnection: close\r\n\r\n");
  const auto reply = client.read_reply();
  EXPECT_EQ(Client::header(reply.head, "Connection"), "close");
  EXPECT_TRUE(reply.whole);
  EXPECT_TRUE(client.at_end());
}

TEST(KeepAlive, EndsWhenTheHandlerSaysSo) {
  TestServer server;
  Client client(server.port());
  client.send("GET /hold HTTP/1.1\r\n\r\n");
  server.held()->respond({.body = "last", .headers = {{"connection", "close"}}});
  EXPECT_EQ(Client::header(client.read_reply().head, "Connection"), "close");
  EXPECT_TRUE(client.at_end());
}

TEST(KeepAlive, Http10AsksForIt) {
  TestServer server;
  Client kept(server.port());
  for (int i = 0; i < 2; ++i) {
    kept.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(Client::header(kept.read_reply().head, "Connection"), "keep-alive");
  }
  Client plain(server.port());
  plain.send("GET /a HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(plain.read_reply().whole);
  EXPECT_TRUE(plain.at_end());
}

TEST(KeepAlive, Http10GetsAStreamWithoutChunks) {
  TestServer server;
  Client client(server.port());
  client.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto reply = client.read_reply();
  EXPECT_EQ(Client::header(reply.head, "Transfer-Encoding"), "");
  EXPECT_EQ(Client::header(reply.head, "Connection"), "close");
  EXPECT_EQ(reply.body, "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n");
}

TEST(KeepAlive, AnswersPipelinedRequestsInOrder) {
  TestServer server;
  Client client(server.port());
  std::string all;
  for (int i = 0; i < 100; ++i) {
    all += i % 3 == 0 ? "GET /stream HTTP/1.1\r\n\r\n"
                      : "POST /" + std::to_string(i) + " HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
  }
  client.send(all);
  for (int i = 0; i < 100; ++i) {
    const auto reply = client.read_reply();
    ASSERT_EQ(reply.body,
              i % 3 == 0 ? "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n" : "POST /" + std::to_string(i) + " abc");
  }
}

TEST(KeepAlive, HoldsPipelinedRequestsBackUntilTheirTurn) {
  TestServer server;
  Client client(server.port());
  // More than a connection stores, so that reading has to stop and go on.
  const std::string body(50'000, 'b');
  client.send("GET /hold HTTP/1.1\r\n\r\n");
  const auto held = server.held();
  for (int i = 0; i < 4; ++i) {
    client.send("POST /x HTTP/1.1\r\nContent-Length: 50000\r\n\r\n" + body);
  }
  EXPECT_EQ(server->stats().requests, 1U);
  EXPECT_FALSE(held->client_gone());
  held->respond({.body = "first"});
  EXPECT_EQ(client.read_reply().body, "first");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(client.read_reply().body, "POST /x " + body);
}

TEST(KeepAlive, AnswersAClientThatHasClosedItsSendingHalf) {
  TestServer server;
  Client client(server.port());
  client.send("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
  client.half_close();
  EXPECT_EQ(client.read_reply().body, "GET /a ");
  EXPECT_EQ(client.read_reply().body, "GET /b ");
  EXPECT_TRUE(client.at_end());
}

TEST(KeepAlive, HeadHasTheSameHeadAndNoBody) {
  TestServer server;
  Client client(server.port());
  for (const std::string path : {"/a", "/stream", "/status/404"}) {
    client.send("HEAD " + path + " HTTP/1.1\r\n\r\n");
    const auto head = client.read_reply(/*has_body=*/false);
    EXPECT_EQ(Client::header(head.head, "Server"), "switchyard");
    if (path == "/a") {
      EXPECT_EQ(Client::header(head.head, "Content-Length"), "8") << "of 'HEAD /a '";
    }
    if (path == "/stream") {
      EXPECT_EQ(Client::header(head.head, "Transfer-Encoding"), "chunked");
    }
  }
  EXPECT_EQ(client.get("/b").body, "GET /b ") << "nothing of a body came in between";
}

TEST(KeepAlive, StatusesWithoutABodyHaveNone) {
  TestServer server;
  Client client(server.port());
  for (const char* path : {"/status/204", "/status/304"}) {
    const auto reply = client.get(path);
    EXPECT_EQ(Client::header(reply.head, "Content-Length"), "");
    EXPECT_EQ(Client::header(reply.head, "Transfer-Encoding"), "");
    EXPECT_EQ(client.get("/b").body, "GET /b ");
  }
}

TEST(KeepAlive, ContinueIsSaidBeforeTheBodyIsAwaited) {
  TestServer server;
  Client client(server.port());
  client.send("POST /a HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("body");
  EXPECT_EQ(client.read_reply().body, "POST /a body");
  client.send("POST /b HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody");
  EXPECT_EQ(client.read_reply().body, "POST /b body") << "not when the body is there already";
}

TEST(KeepAlive, HeaderValuesCannotEndTheHead) {
  TestServer server;
  Client client(server.port());
  client.send("GET /hold HTTP/1.1\r\n\r\n");
  server.held()->respond(
      {.body = "x", .headers = {{"X-A", "1\r\nX-B: 2\r\n\r\nboo\x1b\t!"}, {"bad name", "3"}}});
  const auto reply = client.read_reply();
  EXPECT_EQ(Client::header(reply.head, "X-B"), "");
  EXPECT_EQ(Client::header(reply.head, "X-A"), "1  X-B: 2    boo \t!");
  EXPECT_EQ(reply.head.find("bad name"), std::string::npos);
  EXPECT_EQ(reply.body, "x");
}

TEST(KeepAlive, AHandlerThatThrowsIsAnInternalError) {
  TestServer server;
  Client client(server.port());
  EXPECT_EQ(client.get("/throw").status, 500);
  EXPECT_EQ(client.get("/a").status, 200);
}

}  // namespace
}  // namespace switchyard::http
