#include "http/front/request_reader.h"

#include <gtest/gtest.h>

#include <string>

namespace switchyard::http {
namespace {

using State = RequestReader::State;

/// Feeds `bytes` in pieces of `step` and returns what was left over.
std::string feed(RequestReader& reader, std::string_view bytes, std::size_t step) {
  std::string waiting;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    waiting += bytes.substr(at, step);
    if (reader.state() == State::kHead || reader.state() == State::kBody)
      waiting.erase(0, reader.feed(waiting));
  }
  return waiting;
}

TEST(RequestReader, ReadsTheSameInPiecesOfAnySize) {
  const std::string bytes =
      "\r\nPOST /v1/chat?x=1 HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nCookie: a=1\r\nCookie: b=2\r\n"
      "Transfer-Encoding: chunked\r\n\r\n4;ext=1\r\nwxyz\r\n1\r\n!\r\n0\r\nTrailer: t\r\n\r\nGET /next";
  for (const std::size_t step :
       {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, std::size_t{1000}}) {
    RequestReader reader(ByteSize(4096), ByteSize(4096));
    EXPECT_EQ(feed(reader, bytes, step), "GET /next") << step;
    ASSERT_EQ(reader.state(), State::kDone) << step << reader.error();
    EXPECT_TRUE(reader.keep_alive());
    const auto request = reader.take();
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.target, "/v1/chat?x=1");
    EXPECT_EQ(request.body, "wxyz!");
    EXPECT_EQ(request.header("X-A"), "1, 2");
    EXPECT_EQ(request.header("cookie"), "a=1; b=2");
    EXPECT_EQ(request.header("Trailer"), "") << "a trailer is no header";
    EXPECT_EQ(request.param("x"), "1");
    EXPECT_EQ(request.param("y", "default"), "default");
  }
}

struct BadRequest {
  const char* name;
  std::string bytes;
  int status;
};

TEST(RequestReader, RefusesWhatIsMalformed) {
  const std::string host = "Host: x\r\n";
  const BadRequest table[] = {
      {"a TLS greeting", "\x16\x03\x01\x02", 400},
      {"no version", "GET /\r\n\r\n", 400},
      {"unknown version", "GET / HTTP/9.9\r\n\r\n", 400},
      {"bare line feeds", "GET / HTTP/1.1\nHost: x\n\n", 400},
      {"one bare line feed", "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400},
      {"space in the path", "GET /a b HTTP/1.1\r\n\r\n", 400},
      {"NUL in the path", std::string("GET /a\0b HTTP/1.1\r\n\r\n", 21), 400},
      {"escaped NUL", "GET /a%00b HTTP/1.1\r\n\r\n", 400},
      {"bad escape", "GET /%gg HTTP/1.1\r\n\r\n", 400},
      {"CONNECT", "CONNECT host:80 HTTP/1.1\r\n\r\n", 400},
      {"no colon", "GET / HTTP/1.1\r\nHost\r\n\r\n", 400},
      {"space before the colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
      {"NUL in a value", std::string("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", 26), 400},
      {"length is no number", "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400},
      {"negative length", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
      {"length over 2^64", "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
      {"two lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
      {"length and chunks", "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       400},
      {"chunks and length", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
       400},
      {"coding under chunks", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
      {"coding without chunks", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {"chunk size is no number", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"chunk longer than said", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
       400},
      {"chunk size over 2^64", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
       400},
      {"body over the limit", "POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", 413},
      {"chunks over the limit", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n", 413},
      {"head over the limit", "GET / HTTP/1.1\r\n" + host + "A: " + std::string(600, 'a') + "\r\n\r\n", 431},
      {"line over the limit", "GET /" + std::string(600, 'a'), 431},
      {"chunk line without end",
       "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(600, 'a'), 431},
  };
  for (const auto& bad : table) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{5}, std::size_t{4096}}) {
      RequestReader reader(ByteSize(512), ByteSize(100));
      feed(reader, bad.bytes, step);
      EXPECT_EQ(reader.state(), State::kFailed) << bad.name << " in steps of " << step;
      EXPECT_EQ(reader.error_status(), bad.status)
          << bad.name << " in steps of " << step << ": " << reader.error();
      EXPECT_FALSE(reader.error().empty());
    }
  }
}

TEST(RequestReader, KnowsWhoWantsToKeepTheConnection) {
  const auto keeps = [](std::string_view bytes) {
    RequestReader reader(ByteSize(4096), ByteSize(0));
    reader.feed(bytes);
    EXPECT_EQ(reader.state(), State::kDone) << bytes;
    return reader.keep_alive();
  };
  EXPECT_TRUE(keeps("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
}

TEST(RequestReader, AsksForABodyThatIsAnnouncedOnce) {
  RequestReader reader(ByteSize(4096), ByteSize(4096));
  reader.feed("POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n");
  EXPECT_EQ(reader.state(), State::kBody);
  EXPECT_TRUE(reader.take_continue());
  EXPECT_FALSE(reader.take_continue());
  reader.feed("ab");
  EXPECT_EQ(reader.state(), State::kDone);
  EXPECT_EQ(reader.take().body, "ab");
}

TEST(RequestReader, DoesNotBelieveALargeContentLength) {
  RequestReader reader(ByteSize(4096), ByteSize(1ULL << 60));
  reader.feed("POST / HTTP/1.1\r\nContent-Length: 1000000000000000\r\n\r\nabc");
  EXPECT_EQ(reader.state(), State::kBody);
}

}  // namespace
}  // namespace switchyard::http
