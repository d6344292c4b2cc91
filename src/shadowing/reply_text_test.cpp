#include "shadowing/reply_text.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace switchyard::shadowing {
namespace {

using Json = nlohmann::json;

std::string frame(const Json& event) { return "data: " + event.dump() + "\n\n"; }
std::string named(const Json& event) {
  return "event: " + event["type"].get<std::string>() + "\ndata: " + event.dump() + "\n\n";
}

Json delta(const Json& delta) { return {{"choices", {{{"index", 0}, {"delta", delta}}}}}; }
Json call(const std::string& name, const std::string& arguments) {
  return {{"index", 0}, {"function", {{"name", name}, {"arguments", arguments}}}};
}

/// One reply in each way that a form has of saying it.
struct Said {
  ReplyForm form;
  std::string body, stream;
};
Said chat(const std::vector<std::string>& pieces) {
  std::string text, stream = frame(delta({{"role", "assistant"}, {"content", nullptr}}));
  for (const std::string& piece : pieces) {
    text += piece;
    stream += frame(delta({{"content", piece}}));
  }
  stream += frame({{"choices", Json::array()}, {"usage", {{"completion_tokens", pieces.size()}}}});
  const Json body = {{"choices", {{{"index", 0}, {"message", {{"role", "assistant"}, {"content", text}}}}}},
                     {"usage", {{"completion_tokens", pieces.size()}}}};
  return {ReplyForm::kChat, body.dump(), stream + "data: [DONE]\n\n"};
}
Said completion(const std::vector<std::string>& pieces) {
  std::string text, stream;
  for (const std::string& piece : pieces) {
    text += piece;
    stream += frame({{"choices", {{{"index", 0}, {"text", piece}}}}});
  }
  stream +=
      frame({{"choices", {{{"index", 0}, {"text", ""}}}}, {"timings", {{"predicted_n", pieces.size()}}}});
  const Json body = {{"choices", {{{"index", 0}, {"text", text}}}},
                     {"usage", {{"completion_tokens", pieces.size()}}}};
  return {ReplyForm::kCompletion, body.dump(), stream + "data: [DONE]\n\n"};
}
Said responses(const std::vector<std::string>& pieces) {
  std::string text, stream;
  for (const std::string& piece : pieces) {
    text += piece;
    stream += named({{"type", "response.output_text.delta"}, {"delta", piece}});
  }
  const Json response = {
      {"output", {{{"type", "message"}, {"content", {{{"type", "output_text"}, {"text", text}}}}}}},
      {"usage", {{"output_tokens", pieces.size()}}}};
  stream += named({{"type", "response.completed"}, {"response", response}});
  return {ReplyForm::kResponses, response.dump(), stream};
}
Said messages(const std::vector<std::string>& pieces) {
  std::string text;
  std::string stream = named({{"type", "message_start"}, {"message", {{"usage", {{"output_tokens", 0}}}}}});
  for (const std::string& piece : pieces) {
    text += piece;
    stream += named({{"type", "content_block_delta"},
                     {"index", 0},
                     {"delta", {{"type", "text_delta"}, {"text", piece}}}});
  }
  stream += named({{"type", "message_delta"}, {"usage", {{"output_tokens", pieces.size()}}}});
  const Json body = {{"content", {{{"type", "text"}, {"text", text}}}},
                     {"usage", {{"output_tokens", pieces.size()}}}};
  return {ReplyForm::kMessages, body.dump(), stream + named({{"type", "message_stop"}})};
}

void expect_equal(const Said& said, const std::string& text, std::uint64_t tokens) {
  const ReplyText whole = read_body(said.form, said.body);
  const ReplyText streamed = read_stream(said.form, said.stream);
  for (const ReplyText& read : {whole, streamed}) {
    EXPECT_EQ(read.text, text);
    EXPECT_EQ(read.tokens, tokens);
    EXPECT_TRUE(read.whole);
    EXPECT_EQ(read.error, "");
  }
}

TEST(ReplyTextTest, AStreamSaysWhatAWholeReplySays) {
  const std::vector<std::string> pieces{"Gr", "üße,\n", "\"you\" data: [DONE]\n", ""};
  for (const auto& make : {chat, completion, responses, messages})
    expect_equal(make(pieces), "Grüße,\n\"you\" data: [DONE]\n", 4);
}

TEST(ReplyTextTest, AnyTextIsReadAlikeHoweverItIsCut) {
  EXPECT_TRUE(rc::check([] {
    const auto pieces = *rc::gen::container<std::vector<std::string>>(
        rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127)));
    std::string text;
    for (const std::string& piece : pieces) text += piece;
    for (const auto& make : {chat, completion, responses, messages}) {
      const Said said = make(pieces);
      RC_ASSERT(read_stream(said.form, said.stream).text == text);
      RC_ASSERT(read_body(said.form, said.body).text == text);
    }
  }));
}

TEST(ReplyTextTest, NothingBreaksItAndWhatIsCutIsNotWhole) {
  EXPECT_TRUE(rc::check([](const std::string& bytes) {
    for (const auto& make : {chat, completion, responses, messages}) {
      const Said said = make({"a", "b"});
      (void)read_body(said.form, bytes);
      (void)read_stream(said.form, "data: " + bytes + "\n\n");
      const auto cut =
          static_cast<std::size_t>(*rc::gen::inRange<int>(0, static_cast<int>(said.stream.size()) - 3));
      RC_ASSERT(!read_stream(said.form, said.stream.substr(0, cut)).whole);
    }
  }));
  EXPECT_FALSE(read_body(ReplyForm::kChat, R"({"error":{"message":"no"}})").whole);
}

TEST(ReplyTextTest, ToolsThatAreCalledArePartOfIt) {
  const Json body = {
      {"choices",
       {{{"index", 0},
         {"message",
          {{"content", nullptr},
           {"tool_calls", {{{"function", {{"name", "add"}, {"arguments", R"({"b":2,"a":1})"}}}}}}}}}}}};
  const std::string stream = frame(delta({{"tool_calls", {call("add", "")}}})) +
                             frame(delta({{"tool_calls", {call("", "{\"b\": 2,")}}})) +
                             frame(delta({{"tool_calls", {call("", " \"a\": 1}")}}})) + "data: [DONE]\n\n";
  const std::string text = R"(add {"a":1,"b":2})";
  EXPECT_EQ(read_body(ReplyForm::kChat, body.dump()).text, text);
  EXPECT_EQ(read_stream(ReplyForm::kChat, stream).text, text);

  const Json message = {{"content",
                         {{{"type", "text"}, {"text", "So:"}},
                          {{"type", "tool_use"}, {"name", "add"}, {"input", {{"a", 1}, {"b", 2}}}}}}};
  const std::string events =
      named({{"type", "content_block_delta"}, {"index", 0}, {"delta", {{"text", "So:"}}}}) +
      named({{"type", "content_block_start"},
             {"index", 1},
             {"content_block", {{"type", "tool_use"}, {"name", "add"}}}}) +
      named({{"type", "content_block_delta"}, {"index", 1}, {"delta", {{"partial_json", R"({"b": 2,)"}}}}) +
      named({{"type", "content_block_delta"}, {"index", 1}, {"delta", {{"partial_json", R"("a": 1})"}}}}) +
      named({{"type", "message_stop"}});
  EXPECT_EQ(read_body(ReplyForm::kMessages, message.dump()).text, "So:\n" + text);
  EXPECT_EQ(read_stream(ReplyForm::kMessages, events).text, "So:\n" + text);

  const Json response = {
      {"output", {{{"type", "function_call"}, {"name", "add"}, {"arguments", R"({"a":1, "b":2})"}}}}};
  EXPECT_EQ(read_body(ReplyForm::kResponses, response.dump()).text, text);
}

TEST(ReplyTextTest, ReasoningIsNoPartOfIt) {
  const Json body = {{"choices", {{{"message", {{"content", "4"}, {"reasoning_content", "2 and 2"}}}}}}};
  EXPECT_EQ(read_body(ReplyForm::kChat, body.dump()).text, "4");
  EXPECT_EQ(read_stream(ReplyForm::kChat, frame(delta({{"reasoning_content", "2 and 2"}})) +
                                              frame(delta({{"content", "4"}})) + "data: [DONE]\n\n")
                .text,
            "4");
}

TEST(ReplyTextTest, AnErrorInAStreamIsSeen) {
  const std::string openai = frame({{"error", {{"message", "the engine broke"}}}});
  EXPECT_EQ(read_stream(ReplyForm::kChat, openai).error, "the engine broke");
  const std::string anthropic =
      "event: error\n" + frame({{"type", "error"}, {"error", {{"message", "broke"}}}});
  EXPECT_EQ(read_stream(ReplyForm::kMessages, anthropic).error, "broke");
}

TEST(ReplyTextTest, OnlyWhatGeneratesHasAForm) {
  for (const char* path : {"/v1/chat/completions", "/chat/completions", "/v1/completions", "/v1/responses",
                           "/responses", "/v1/messages"})
    EXPECT_TRUE(reply_form(path)) << path;
  for (const char* path : {"/v1/embeddings", "/tokenize", "/v1/messages/count_tokens", "/completion",
                           "/slots/1", "/v1/chat/completions/control"})
    EXPECT_FALSE(reply_form(path)) << path;
}

TEST(ReplyTextTest, JsonIsAnObjectOrAList) {
  for (const char* text : {"{}", " [1,2]\n", R"({"a":{"b":null}})"}) EXPECT_TRUE(is_json(text)) << text;
  for (const char* text : {"", "42", "true", "\"x\"", "{", "{} and more", "```json\n{}\n```"})
    EXPECT_FALSE(is_json(text)) << text;
}

}  // namespace
}  // namespace switchyard::shadowing
