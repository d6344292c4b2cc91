#include "library/chat_text.h"

#include <gtest/gtest.h>

#include <vector>

namespace switchyard::library {
namespace {

constexpr std::string_view kStream =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"Par\"}}]}\n\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"is\"}}]}\r\n\r\n"
    ": comment\n\n"
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
    "data: [DONE]\n\n";

TEST(ChatText, IsTheSameHoweverTheStreamIsCut) {
  for (std::size_t size : {std::size_t{1}, std::size_t{7}, kStream.size()}) {
    std::vector<std::string> pieces;
    ChatText text([&](std::string_view piece) { pieces.emplace_back(piece); });
    for (std::size_t at = 0; at < kStream.size(); at += size) text.feed(kStream.substr(at, size));
    EXPECT_EQ(std::move(text).result().value(), "Paris");
    EXPECT_EQ(pieces, (std::vector<std::string>{"Par", "is"}));
  }
}

TEST(ChatText, AStreamWithoutItsEndIsAnError) {
  ChatText text({});
  text.feed(kStream.substr(0, kStream.find("data: [DONE]")));
  EXPECT_EQ(std::move(text).result().error().code, ErrorCode::kInternal);
}

TEST(ChatText, AnErrorFrameIsTheAnswer) {
  ChatText text({});
  text.feed("data: {\"error\":{\"code\":500,\"message\":\"out of context\"}}\n\n");
  text.feed("data: [DONE]\n\n");
  EXPECT_EQ(std::move(text).result().error().message, "out of context");
}

TEST(ErrorMessage, IsTheServersOrTheWholeBody) {
  EXPECT_EQ(error_message(R"({"error":{"message":"no"}})"), "no");
  EXPECT_EQ(error_message("<html>"), "<html>");
  EXPECT_EQ(error_message(R"({"error":"plain"})"), R"({"error":"plain"})");
}

TEST(ChatRequest, QuotesWhatItIsGiven) {
  EXPECT_EQ(
      chat_request("a \"b\"\n", {.max_tokens = 7, .temperature = 0.5}),
      R"({"max_tokens":7,"messages":[{"content":"a \"b\"\n","role":"user"}],"stream":true,"temperature":0.5})");
}

}  // namespace
}  // namespace switchyard::library
