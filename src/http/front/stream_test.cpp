#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "http/front/test_client.h"

// Replies that are made by other threads while the client reads slowly, leaves, or is cut off.

namespace switchyard::http {
namespace {

using testing::Client;
using testing::Queue;
using testing::TestServer;

/// A connection whose request is held, and its exchange.
struct Held {
  explicit Held(TestServer& server, int receive_buffer = 0) : client(server.port(), receive_buffer) {
    client.send("GET /hold HTTP/1.1\r\n\r\n");
    exchange = server.held();
  }
  Client client;
  ExchangePtr exchange;
};

TEST(Stream, ASlowReaderHoldsItsProducerBackAndLosesNothing) {
  TestServer server;
  Held slow(server, /*receive_buffer=*/4096);
  slow.exchange->start_stream({});
  const std::string piece(10'000, 'p');
  std::size_t written = 0;
  while (slow.exchange->write(piece)) written += piece.size();
  written += piece.size();
  EXPECT_GT(written, 256U << 10);
  auto resumed = std::make_shared<Queue<bool>>();
  slow.exchange->when_writable([resumed] { resumed->push(true); });

  EXPECT_EQ(Client(server.port()).get("/a").status, 200) << "others are not held up";

  testing::Reply reply;
  std::thread reader([&] { reply = slow.client.read_reply(); });
  EXPECT_TRUE(resumed->pop());
  EXPECT_TRUE(slow.exchange->write(piece)) << "there is room again";
  slow.exchange->finish();
  reader.join();
  EXPECT_TRUE(reply.whole);
  EXPECT_EQ(reply.body, std::string(written + piece.size(), 'p'));
}

TEST(Stream, ResumesAtOnceWhenThereIsRoom) {
  TestServer server;
  Held held(server);
  held.exchange->start_stream({});
  auto resumed = std::make_shared<Queue<bool>>();
  held.exchange->when_writable([resumed] { resumed->push(true); });
  EXPECT_TRUE(resumed->pop());
  held.exchange->finish();
  EXPECT_TRUE(held.client.read_reply().whole);
}

TEST(Stream, AnEmptyWriteDoesNotEndIt) {
  TestServer server;
  Held held(server);
  held.exchange->start_stream({});
  EXPECT_TRUE(held.exchange->write(""));
  held.exchange->write("a");
  held.exchange->finish();
  EXPECT_EQ(held.client.read_reply().body, "a");
}

TEST(Stream, WritesOfManyThreadsAreWhole) {
  TestServer server;
  Held held(server);
  held.exchange->start_stream({});
  std::vector<std::thread> writers;
  for (char c = 'a'; c < 'e'; ++c) {
    writers.emplace_back([exchange = held.exchange, c] {
      for (int i = 0; i < 500; ++i) exchange->write(std::string(7, c));
    });
  }
  for (auto& writer : writers) writer.join();
  held.exchange->finish();
  const auto reply = held.client.read_reply();
  ASSERT_TRUE(reply.whole);
  ASSERT_EQ(reply.body.size(), 4U * 500 * 7);
  for (std::size_t at = 0; at < reply.body.size(); at += 7) {
    ASSERT_EQ(reply.body.substr(at, 7), std::string(7, reply.body[at]));
  }
}

TEST(Stream, ManyConnectionsAreAnsweredByManyThreads) {
  TestServer server;
  std::vector<std::thread> clients;
  for (int c = 0; c < 8; ++c) {
    clients.emplace_back([port = server.port()] {
      Client client(port);
      for (int i = 0; i < 50; ++i) {
        client.send("GET /hold HTTP/1.1\r\n\r\n");
        ASSERT_EQ(client.read_reply().body, "abc");
      }
    });
  }
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&server] {
      for (int n = 0; n < 100; ++n) {
        auto exchange = server.held();
        exchange->start_stream({});
        for (const char* piece : {"a", "b", "c"}) exchange->write(piece);
        exchange->finish();
      }
    });
  }
  for (auto& thread : workers) thread.join();
  for (auto& thread : clients) thread.join();
}

TEST(Stream, AClientThatLeavesIsNoticedWhileItWaits) {
  TestServer server;
  for (const bool hard : {false, true}) {
    Held held(server);
    auto gone = std::make_shared<Queue<bool>>();
    held.exchange->on_client_gone([gone] { gone->push(true); });
    EXPECT_FALSE(held.exchange->client_gone());
    if (hard) {
      held.client.reset();
    } else {
      held.client.close();
    }
    EXPECT_TRUE(gone->pop());
    EXPECT_TRUE(held.exchange->client_gone());
    held.exchange->on_client_gone([gone] { gone->push(false); });
    EXPECT_FALSE(gone->pop()) << "called at once when the client has gone already";
    held.exchange->when_writable([gone] { gone->push(true); });
    EXPECT_TRUE(gone->pop()) << "nobody waits for a reader that has gone";
    held.exchange->start_stream({});
    EXPECT_TRUE(held.exchange->write("nobody reads this"));
    held.exchange->finish();
  }
}

TEST(Stream, AClientThatLeavesBehindASlowQueueIsNoticed) {
  TestServer server;
  Held held(server, /*receive_buffer=*/4096);
  auto gone = std::make_shared<Queue<bool>>();
  held.exchange->on_client_gone([gone] { gone->push(true); });
  held.exchange->start_stream({});
  EXPECT_FALSE(held.exchange->write(std::string(8 << 20, 'x')));
  held.exchange->when_writable([gone] { gone->push(true); });
  held.client.close();
  EXPECT_TRUE(gone->pop());
  EXPECT_TRUE(gone->pop());
}

TEST(Stream, ACompleteReplyForgetsItsCallbacks) {
  TestServer server;
  Held held(server);
  auto called = std::make_shared<std::atomic<bool>>(false);
  held.exchange->on_client_gone([called] { *called = true; });
  held.exchange->respond({.body = "x"});
  EXPECT_EQ(held.client.read_reply().body, "x");
  held.client.close();
  EXPECT_EQ(Client(server.port()).get("/a").status, 200);
  EXPECT_FALSE(*called);
  EXPECT_EQ(called.use_count(), 1);
}

TEST(Stream, AnAbortIsSeenAsACut) {
  TestServer server;
  Held held(server);
  held.exchange->start_stream({});
  held.exchange->write("half of it");
  held.exchange->abort();
  const auto reply = held.client.read_reply();
  EXPECT_EQ(reply.body, "half of it") << "what was written before still arrives";
  EXPECT_FALSE(reply.whole);
}

TEST(Stream, AnAbortIsSeenByAnHttp10Client) {
  TestServer server;
  Client client(server.port());
  client.send("GET /hold HTTP/1.0\r\n\r\n");
  const auto exchange = server.held();
  exchange->start_stream({});
  exchange->write("half of it");
  EXPECT_TRUE(client.read_until("half of it").ends_with("half of it"));
  exchange->abort();
  EXPECT_TRUE(client.at_end());
  EXPECT_TRUE(client.was_reset()) << "an orderly end would look like the end of the body";
}

TEST(Stream, AnAbortDoesNotWaitForASlowReader) {
  TestServer server;
  Held held(server, /*receive_buffer=*/4096);
  auto resumed = std::make_shared<Queue<bool>>();
  held.exchange->start_stream({});
  EXPECT_FALSE(held.exchange->write(std::string(16 << 20, 'x')));
  held.exchange->when_writable([resumed] { resumed->push(true); });
  held.exchange->abort();
  EXPECT_TRUE(resumed->pop());
  EXPECT_TRUE(server->shutdown(testing::kPatience)) << "and the client has not read a byte";
  EXPECT_FALSE(held.client.read_reply().whole);
}

TEST(Stream, ADroppedExchangeEndsTheConnection) {
  TestServer server;
  Client at_once(server.port());
  at_once.send("GET /drop HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(at_once.at_end());
  Held later(server);
  later.exchange->start_stream({});
  later.exchange->write("a");
  later.exchange.reset();
  EXPECT_FALSE(later.client.read_reply().whole);
}

TEST(Stream, OnlyTheFirstAnswerCounts) {
  TestServer server;
  Held held(server);
  held.exchange->finish();  // nothing was started
  held.exchange->write("too early");
  held.exchange->respond({.body = "first"});
  held.exchange->respond({.body = "second"});
  held.exchange->start_stream({});
  held.exchange->write("more");
  held.exchange->finish();
  held.exchange->abort();
  EXPECT_EQ(held.client.read_reply().body, "first");
  EXPECT_EQ(held.client.get("/a").body, "GET /a ");
}

}  // namespace
}  // namespace switchyard::http
