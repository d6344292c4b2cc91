#include <gmock/gmock.h>

#include "http/app_fixture.h"
#include "http/subject.h"

namespace switchyard::http {
namespace {

using testing::AppTest;
using ::testing::HasSubstr;

/// chat is shared by b@1 and a@1.
class Splits : public AppTest {
 protected:
  void SetUp() override {
    options_.on_request = [this](const gateway::RequestRecord& record) {
      const std::scoped_lock lock(mutex_);
      records_.push_back(record);
    };
    restart(options_);
  }
  void TearDown() override { app_.reset(); }  // it tells of requests, into what is below
  Response put(const std::string& body) { return ask("PUT", "/admin/v1/aliases/chat", body); }
  void split(int weight_of_b) {
    const Json arms = {{{"to", "b@1"}, {"weight", weight_of_b}},
                       {{"to", "a@1"}, {"weight", 100 - weight_of_b}}};
    const Response made = put(Json{{"split", arms}, {"sticky", {{"header", "x-user-id"}}}}.dump());
    ASSERT_EQ(made.status, 200) << made.body;
  }
  std::string version(Headers headers, const std::string& more = {}) {
    const Response reply =
        ask("POST", "/v1/completions", R"({"model":"chat","prompt":"x")" + more + "}", std::move(headers));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.headers.at("x-switchyard-version");
  }

  AppOptions options_;
  std::mutex mutex_;
  std::vector<gateway::RequestRecord> records_;
};

TEST_F(Splits, AreMadeShownAndKeptInTheHistory) {
  split(90);
  const Json chat = json(ask("GET", "/admin/v1/aliases/chat"));
  EXPECT_EQ(chat["split"], (Json{{{"to", "b@1"}, {"weight", 90.0}}, {{"to", "a@1"}, {"weight", 10.0}}}));
  EXPECT_EQ(chat["sticky"], (Json{{"header", "x-user-id"}}));
  EXPECT_EQ(chat["history"][0]["kind"], "split");
  EXPECT_EQ(chat["history"][0]["split"], chat["split"]);
}

TEST_F(Splits, ASubjectStaysWithItsArm) {
  split(50);
  std::map<std::string, int> found;
  for (int n = 0; n < 100; ++n) {
    const std::string user = "u" + std::to_string(n);
    const std::string first = version({{"X-User-Id", user}});
    ++found[first];
    EXPECT_EQ(version({{"x-user-id", user}}), first);
  }
  EXPECT_NEAR(found["b@1"], 50, 20);
  EXPECT_NEAR(found["a@1"], 50, 20);
  EXPECT_EQ(version({}, R"(,"user":"joe")"), version({}, R"(,"user":"joe")"));
  EXPECT_EQ(version({}, R"(,"metadata":{"user_id":"jim"})"), version({}, R"(,"metadata":{"user_id":"jim"})"));
}

TEST_F(Splits, WhoeverSaysNothingFollowsTheWeightsRequestByRequest) {
  split(50);
  std::map<std::string, int> found;
  for (int n = 0; n < 200; ++n) ++found[version({})];
  EXPECT_NEAR(found["b@1"], 100, 40);
}

TEST_F(Splits, SubjectsAreOfOneKindEach) {
  const auto subject = [](Headers headers, std::string_view user = {}, std::string_view key_id = {}) {
    return subject_of(testing::request_for("POST", "/", {}, std::move(headers)), "x-user-id", user, key_id,
                      "r1");
  };
  EXPECT_EQ(subject({{"x-user-id", "7"}, {"Authorization", "Bearer k"}}, "joe"), "header:7");
  EXPECT_EQ(subject({{"Authorization", "Bearer k"}}, "joe"), "user:joe");
  EXPECT_THAT(subject({{"Authorization", "Bearer secret"}}),
              AllOf(HasSubstr("key:"), Not(HasSubstr("secret"))));
  EXPECT_EQ(subject({{"Authorization", "Bearer k"}}), subject({{"X-Api-Key", "k"}}));
  EXPECT_EQ(subject({{"X-Api-Key", "k"}}, {}, "key_1"), "key:key_1");
  EXPECT_EQ(subject({{"X-Conversation-Id", "c"}}), "conversation:c");
  EXPECT_EQ(subject({}), "request:r1");
}

TEST_F(Splits, WrongOnesAreRefusedWithASentence) {
  const auto refused = [this](const std::string& body, int status = 400) {
    const Response reply = put(body);
    EXPECT_EQ(reply.status, status) << body << " " << reply.body;
    return std::string(json(reply)["error"]["message"]);
  };
  EXPECT_THAT(refused(R"({"split":[{"to":"a@1","weight":90},{"to":"b@1","weight":5}]})"),
              HasSubstr("add up to 95"));
  EXPECT_THAT(refused(R"({"split":[{"to":"a@1","weight":90},{"to":"bb@1","weight":10}]})", 404),
              HasSubstr("bb"));
  EXPECT_THAT(refused(R"({"split":[{"to":"a@1","weight":"90"}]})"), HasSubstr("'split' must be a list"));
  EXPECT_THAT(refused(R"({"split":{}})"), HasSubstr("'split' must be a list"));
  EXPECT_THAT(refused(R"({"split":[]})"), HasSubstr("1 to 64"));
  EXPECT_THAT(refused(R"({"to":"a","split":[{"to":"a@1","weight":100}]})"), HasSubstr("not both"));
  EXPECT_THAT(refused(R"({"to":"a","sticky":{"header":"x"}})"), HasSubstr("'sticky' needs a 'split'"));
  EXPECT_THAT(refused(R"({"split":[{"to":"a@1","weight":100}],"sticky":{"header":"no header"}})"),
              HasSubstr("no header"));
  EXPECT_TRUE(json(ask("GET", "/admin/v1/aliases/chat"))["split"].is_null());
}

TEST_F(Splits, AnArmThatCannotAnswerIsStoodInFor) {
  answer_ = [](engine::Request& request) {
    if (Json::parse(request.body)["prompt"] != "hard") return gateway::testing::Script{.body = "{}"};
    static std::atomic<int> calls = 0;
    // The first engine that is asked fails, the next one does not.
    return calls++ % 2 == 0 ? gateway::testing::Script{.status = 500, .body = R"({"error":"broken"})"}
                            : gateway::testing::Script{.body = R"({"fine":true})"};
  };
  split(50);
  const Response reply =
      ask("POST", "/v1/completions", R"({"model":"chat","prompt":"hard"})", {{"x-user-id", "u"}});
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.body, R"({"fine":true})");
  app_.reset();  // what is told of requests has been told
  const std::scoped_lock lock(mutex_);
  ASSERT_EQ(records_.size(), 1U);
  EXPECT_EQ(records_[0].failed.size(), 1U);
  EXPECT_NE(records_[0].failed[0], records_[0].version);
  EXPECT_EQ(records_[0].name, "chat");
  EXPECT_EQ(records_[0].subject, "header:u");
  EXPECT_FALSE(records_[0].request_id.empty());
}

}  // namespace
}  // namespace switchyard::http
