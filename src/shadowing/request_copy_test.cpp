#include "shadowing/request_copy.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace switchyard::shadowing {
namespace {

using Json = nlohmann::json;
using traffic::WantsJson;

RequestCopy copy_of(const Json& body, ReplyForm form = ReplyForm::kChat, std::uint32_t max_tokens = 0) {
  return copy_request(form, body.dump(), "b@1", max_tokens).value();
}

TEST(RequestCopyTest, IsTheSameForAnotherVersionStreamed) {
  const Json body = {{"model", "chat"}, {"messages", {{{"role", "user"}, {"content", "Hi"}}}}, {"seed", 7}};
  const Json copy = Json::parse(copy_of(body).body);
  EXPECT_EQ(copy["model"], "b@1");
  EXPECT_EQ(copy["stream"], true);
  EXPECT_EQ(copy["messages"], body["messages"]);
  EXPECT_EQ(copy["seed"], 7);
  EXPECT_FALSE(copy.contains("max_tokens"));
  EXPECT_FALSE(copy_request(ReplyForm::kChat, "[]", "b@1", 0));
  EXPECT_FALSE(copy_request(ReplyForm::kChat, "no", "b@1", 0));
}

TEST(RequestCopyTest, IsAsLongAsItMayBeAtMost) {
  const auto most = [](const Json& body, const char* key, ReplyForm form = ReplyForm::kChat) {
    return Json::parse(copy_of(body, form, 50).body)[key];
  };
  EXPECT_EQ(most(Json::object(), "max_tokens"), 50);
  EXPECT_EQ(most(Json::object(), "max_output_tokens", ReplyForm::kResponses), 50);
  EXPECT_EQ(most({{"max_tokens", 20}}, "max_tokens"), 20);
  EXPECT_EQ(most({{"max_tokens", 200}}, "max_tokens"), 50);
  EXPECT_EQ(most({{"max_completion_tokens", 200}}, "max_completion_tokens"), 50);
  EXPECT_EQ(most({{"n_predict", -1}}, "n_predict"), 50) << "without end";
}

TEST(RequestCopyTest, WhatIsKeptOfItIsThePromptAlone) {
  const Json body = {{"messages", {{{"role", "user"}, {"content", "Hi"}}}},
                     {"system", "Be brief."},
                     {"user", "joe@example.org"},
                     {"metadata", {{"token", "secret"}}},
                     {"tools", Json::array()}};
  EXPECT_EQ(Json::parse(copy_of(body).prompt),
            (Json{{"messages", body["messages"]}, {"system", "Be brief."}}));
}

TEST(RequestCopyTest, SeesThatJsonIsWanted) {
  EXPECT_EQ(copy_of({{"response_format", {{"type", "json_object"}}}}).wants_json, WantsJson::kYes);
  EXPECT_EQ(copy_of({{"text", {{"format", {{"type", "json_schema"}}}}}}, ReplyForm::kResponses).wants_json,
            WantsJson::kYes);
  EXPECT_EQ(copy_of({{"response_format", {{"type", "text"}}}}).wants_json, WantsJson::kNo);
  EXPECT_EQ(copy_of({{"response_format", "json_object"}, {"text", 1}}).wants_json, WantsJson::kNo);
  EXPECT_EQ(copy_of({{"model", "x"}}).wants_json, WantsJson::kNo);
}

TEST(SimilarityTest, IsTheCosineOfTwoEmbeddings) {
  const auto of = [](const Json& a, const Json& b) {
    return similarity_of(Json{{"data", {{{"embedding", a}}, {{"embedding", b}}}}}.dump());
  };
  EXPECT_DOUBLE_EQ(*of({1, 0}, {2, 0}), 1);
  EXPECT_DOUBLE_EQ(*of({1, 0}, {0, 1}), 0);
  EXPECT_EQ(of({1, 0}, {1, 0, 0}), std::nullopt);
  EXPECT_EQ(of({1, "x"}, {1, 0}), std::nullopt);
  for (const char* reply : {"", "[]", R"({"data":[]})", R"({"data":[{"embedding":[1]}]})", R"({"error":{}})"})
    EXPECT_EQ(similarity_of(reply), std::nullopt) << reply;
  const Json asked = Json::parse(embeddings_request("e", "one", "two"));
  EXPECT_EQ(asked["input"], (Json{"one", "two"}));
}

}  // namespace
}  // namespace switchyard::shadowing
