#include <latch>
#include <mutex>
#include <thread>

#include "http/tenant_fixture.h"

// Whose request a slot works for next, as keys and bodies say; see gateway/fair_queue.h.

namespace switchyard::http {
namespace {

using gateway::testing::Script;
using testing::FakeExchangePtr;
using testing::TenantTest;

class FairnessTest : public TenantTest {
 protected:
  FairnessTest() : TenantTest(1) {}
  void SetUp() override {
    TenantTest::SetUp();
    answer_ = [this](engine::Request& request) {
      const std::string prompt = Json::parse(request.body)["prompt"];
      if (prompt == "first") go_on_.wait();
      const std::scoped_lock lock(mutex_);
      order_.push_back(prompt);
      return Script{.body = R"({"tokens_evaluated":10,"tokens_predicted":10})"};
    };
    load("a");
  }
  FakeExchangePtr complete(const Headers& key, const std::string& prompt, const std::string& more = {}) {
    return begin("POST", "/completion", R"({"model":"a","prompt":")" + prompt + "\"" + more + "}", key);
  }
  /// Lets the first one end, and says in which order all were worked for.
  std::vector<std::string> order(const std::vector<FakeExchangePtr>& requests) {
    go_on_.count_down();
    for (const auto& request : requests) EXPECT_EQ(request->answer().status, 200) << request->answer().body;
    const std::scoped_lock lock(mutex_);
    return order_;
  }

  std::latch go_on_{1};
  std::mutex mutex_;
  std::vector<std::string> order_;
};

TEST_F(FairnessTest, AnothersRequestDoesNotWaitForAWholeFlood) {
  const Headers flood = make({.key_alias = "flood"}), other = make({.key_alias = "other"});
  std::vector<FakeExchangePtr> requests{complete(flood, "first"), complete(flood, "second"),
                                        complete(flood, "third"), complete(other, "other's")};
  EXPECT_EQ(order(requests), (std::vector<std::string>{"first", "other's", "second", "third"}));
}

TEST_F(FairnessTest, AWeightIsAShare) {
  const Headers heavy = make({.key_alias = "heavy", .weight = 3}), light = make({.key_alias = "light"});
  std::vector<FakeExchangePtr> requests{complete(light, "first")};
  for (int i = 0; i < 6; ++i) {
    requests.push_back(complete(light, "light"));
    requests.push_back(complete(heavy, "heavy"));
  }
  const auto seen = order(requests);
  EXPECT_GE(std::count(seen.begin(), seen.begin() + 7, "heavy"), 4);
  EXPECT_LE(std::count(seen.begin(), seen.begin() + 7, "light"), 2);
}

TEST_F(FairnessTest, TheServiceTierOfABodyCounts) {
  const Headers key = make({.key_alias = "one"});
  std::vector<FakeExchangePtr> requests{
      complete(key, "first"), complete(key, "batch", R"(,"service_tier":"flex")"),
      complete(key, "plain", R"(,"service_tier":"auto")"),
      complete(key, "unknown", R"(,"service_tier":"what llama-server does not look at either")"),
      complete(key, "urgent", R"(,"service_tier":"priority")")};
  EXPECT_EQ(order(requests), (std::vector<std::string>{"first", "urgent", "plain", "unknown", "batch"}));
}

TEST_F(FairnessTest, WhatTakesNoSlotIsNotHeldUp) {
  const Headers key = make({.key_alias = "one"});
  const auto first = complete(key, "first");
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"a","prompt":"tokens"})", key).status, 200);
  EXPECT_EQ(order({first}), (std::vector<std::string>{"tokens", "first"}));
}

TEST_F(FairnessTest, TheMetricsCountThoseThatWait) {
  const Headers key = make({.key_alias = "one"});
  const std::vector<FakeExchangePtr> requests{complete(key, "first"), complete(key, "second")};
  EXPECT_NE(ask("GET", "/metrics", {}, admin_).body.find("llamacpp:requests_deferred{model=\"a\"} 1\n"),
            std::string::npos);
  (void)order(requests);
}

TEST_F(FairnessTest, AWeightThatIsNoneIsRefused) {
  for (const char* weight : {"0", "-1", "1e9", "\"2\"", "null"}) {
    const Response refused =
        ask("POST", "/admin/v1/keys", R"({"key_alias":"k","weight":)" + std::string(weight) + "}", admin_);
    EXPECT_EQ(refused.status, 400) << weight;
    EXPECT_NE(refused.body.find("weight"), std::string::npos);
  }
  const Response made = ask("POST", "/admin/v1/keys", R"({"key_alias":"k","weight":2.5})", admin_);
  EXPECT_EQ(json(made)["weight"], 2.5);
  EXPECT_EQ(json(ask("POST", "/admin/v1/keys/k/update", R"({"weight":0.5})", admin_))["weight"], 0.5);
}

}  // namespace
}  // namespace switchyard::http
