#include "engine/prompts_first.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "engine/in_process_engine.h"
#include "engine/params.h"
#include "engine/test_requests.h"
#include "engine/weights_store.h"

namespace switchyard::engine {
namespace {

using std::chrono::microseconds;
using At = SlotWork::At;
constexpr SlotWork kFree{};

SlotWork reply(std::string_view asker) { return {At::kReply, asker, 0}; }
SlotWork prompt(std::string_view asker, std::size_t left) { return {At::kPrompt, asker, left}; }

/// What it says where nobody has sat out the decode before.
std::vector<bool> choose(PromptsFirst& prompts, const std::vector<SlotWork>& slots) {
  (void)prompts.choose({});
  return prompts.choose(slots);
}

/// A machine on which a decode takes `per_decode`, as much again for each `per_reply`, and half of that for a
/// token of a prompt.
void teach(PromptsFirst& prompts, microseconds per_decode, microseconds per_reply) {
  for (std::size_t i = 0; i < 20; ++i) {
    const DecodeLoad load{i % 4, i % 3 * 4};
    prompts.learn(load, per_decode + per_reply * load.replies + per_reply * load.prompt_tokens / 2);
  }
}

/// Four replies not to wait for gain somebody just less than half of what a decode costs the others.
void teach_processor(PromptsFirst& prompts) { teach(prompts, microseconds(9000), microseconds(1000)); }

TEST(PromptsFirstTest, ANewcomerGoesBeforeWhoeverIsAtReplies) {
  PromptsFirst prompts;
  teach_processor(prompts);
  const std::vector<SlotWork> slots{reply("a"), reply("a"), reply("a"), prompt("b", 6),
                                    reply("c"), kFree,      reply("")};
  EXPECT_EQ(prompts.choose(slots), (std::vector<bool>{true, true, true, false, true, false, true}));
  prompts.learn({0, 6}, microseconds(12000));
  EXPECT_EQ(prompts.sat_out(), 1U);
  EXPECT_EQ(prompts.choose(slots), std::vector<bool>(slots.size(), false));
  prompts.learn({5, 6}, microseconds(17000));
  EXPECT_EQ(prompts.sat_out(), 1U);
}

TEST(PromptsFirstTest, BeforeALongPromptToo) {
  PromptsFirst prompts;
  teach_processor(prompts);
  EXPECT_EQ(choose(prompts, {prompt("a", 2000), prompt("b", 6)}), (std::vector<bool>{true, false}));
}

TEST(PromptsFirstTest, NobodySitsOutForOneWhoShouldNotGoFirst) {
  PromptsFirst prompts;
  teach_processor(prompts);
  const std::vector<bool> nobody(6, false);
  const auto beside = [&](const SlotWork& slot) {
    return choose(prompts, {reply("a"), reply("b"), reply("c"), reply("d"), reply("e"), slot});
  };
  EXPECT_EQ(beside(prompt("a", 6)), nobody) << "has a reply under way";
  EXPECT_EQ(beside(prompt("", 6)), nobody) << "nobody waits for it";
  EXPECT_EQ(beside(prompt("f", PromptsFirst::kShort + 1)), nobody) << "is long";
  EXPECT_NE(beside(prompt("f", PromptsFirst::kShort)), nobody);
}

TEST(PromptsFirstTest, OnlyWhereItGainsMoreThanItCosts) {
  const std::vector<SlotWork> five{reply("a"), reply("a"), reply("a"),
                                   reply("a"), reply("a"), prompt("b", 6)};
  const std::vector<SlotWork> four{reply("a"), reply("a"), reply("a"), reply("a"), prompt("b", 6)};
  PromptsFirst processor, gpu, unknown, one_size;
  EXPECT_EQ(choose(unknown, five), std::vector<bool>(6, false));
  teach_processor(processor);
  EXPECT_EQ(choose(processor, four), std::vector<bool>(5, false));
  EXPECT_NE(choose(processor, five), std::vector<bool>(6, false));
  teach(gpu, microseconds(8000), microseconds(20));
  EXPECT_EQ(choose(gpu, five), std::vector<bool>(6, false));
  for (int i = 0; i < 100; ++i) one_size.learn({3, 0}, microseconds(100));
  EXPECT_EQ(choose(one_size, five), std::vector<bool>(6, false)) << "one point is no plane";
}

/// What is learnt of another load of the machine takes the place of what was.
TEST(PromptsFirstTest, ItLearnsAnew) {
  const std::vector<SlotWork> slots{reply("a"), reply("a"), reply("a"),
                                    reply("a"), reply("a"), prompt("b", 6)};
  PromptsFirst prompts;
  teach_processor(prompts);
  EXPECT_NE(choose(prompts, slots), std::vector<bool>(6, false));
  for (int i = 0; i < 20; ++i) teach(prompts, microseconds(8000), microseconds(20));
  EXPECT_EQ(choose(prompts, slots), std::vector<bool>(6, false));
  for (int i = 0; i < 50; ++i)
    prompts.learn({0, 512}, microseconds(512'000));  // of long prompts it learns nothing
  EXPECT_EQ(choose(prompts, slots), std::vector<bool>(6, false));
}

/// An engine's first decode reads its weights for the first time.
TEST(PromptsFirstTest, OneDecodeSaysNothing) {
  PromptsFirst prompts;
  prompts.learn({0, 1}, microseconds(240'000));
  teach_processor(prompts);
  EXPECT_NE(choose(prompts, {reply("a"), reply("a"), reply("a"), reply("a"), reply("a"), prompt("b", 6)}),
            std::vector<bool>(6, false));
}

/// Where decodes themselves have come to take longer, as many as before, that is learnt too.
TEST(PromptsFirstTest, TheLeastTimeIsNotForEver) {
  PromptsFirst prompts;
  teach_processor(prompts);
  for (int i = 0; i < 200; ++i) teach(prompts, microseconds(40'000), microseconds(1000));
  EXPECT_EQ(choose(prompts, {reply("a"), reply("a"), reply("a"), reply("a"), reply("a"), prompt("b", 6)}),
            std::vector<bool>(6, false));
}

/// A load that is seen no more does not count for ever.
TEST(PromptsFirstTest, ItForgets) {
  const std::vector<SlotWork> slots{reply("a"), reply("a"), reply("a"),
                                    reply("a"), reply("a"), prompt("b", 6)};
  PromptsFirst prompts;
  for (std::size_t replies = 10; replies < 20; ++replies)
    for (int i = 0; i < 20; ++i)
      prompts.learn({replies, 0}, microseconds(2000 * replies));  // nothing for a decode
  ASSERT_NE(choose(prompts, slots), std::vector<bool>(6, false));
  for (int i = 0; i < 20; ++i) teach(prompts, microseconds(8000), microseconds(20));
  ASSERT_NE(choose(prompts, slots), std::vector<bool>(6, false)) << "both count";
  for (int i = 0; i < 500; ++i) teach(prompts, microseconds(8000), microseconds(20));
  EXPECT_EQ(choose(prompts, slots), std::vector<bool>(6, false));
}

/// The invariants, over random slots.
TEST(PromptsFirstTest, NobodySitsOutTwiceInARowOrInVain) {
  std::mt19937 chance(7);  // NOLINT: the same in each run
  const auto any = [&](int below) { return static_cast<int>(chance() % static_cast<unsigned>(below)); };
  constexpr std::array<std::string_view, 4> kAskers{"", "a", "b", "c"};
  PromptsFirst prompts;
  teach(prompts, microseconds(2000), microseconds(1000));
  bool sat_out_before = false;
  std::uint64_t counted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<SlotWork> slots(static_cast<std::size_t>(1 + any(6)));
    for (SlotWork& slot : slots) {
      slot.at = static_cast<At>(any(3));
      slot.asker = kAskers.at(static_cast<std::size_t>(any(4)));
      if (slot.at == At::kPrompt) slot.prompt_left = static_cast<std::size_t>(any(100));
    }
    const std::vector<bool> sits_out = prompts.choose(slots);
    ASSERT_EQ(sits_out.size(), slots.size());
    const bool somebody = std::find(sits_out.begin(), sits_out.end(), true) != sits_out.end();
    ASSERT_FALSE(somebody && sat_out_before);
    sat_out_before = somebody;
    if (!somebody) continue;
    ++counted;
    bool first = false;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      ASSERT_FALSE(slots[i].at == At::kNothing && sits_out[i]);
      if (slots[i].at == At::kNothing || sits_out[i]) continue;
      first = true;
      ASSERT_EQ(slots[i].at, At::kPrompt);
      ASSERT_LE(slots[i].prompt_left, PromptsFirst::kShort);
      ASSERT_FALSE(slots[i].asker.empty());
      for (const SlotWork& other : slots)
        ASSERT_FALSE(other.at == At::kReply && other.asker == slots[i].asker);
    }
    ASSERT_TRUE(first);
  }
  EXPECT_GT(counted, 1000U);
}

TEST(PromptsFirstTest, ADecodeWithoutNewcomersIsTheOneInBetween) {
  PromptsFirst prompts;
  prompts.always();
  const std::vector<SlotWork> with{reply("a"), prompt("b", 1)}, without{reply("a"), kFree};
  const std::vector<bool> first{true, false}, nobody{false, false};
  EXPECT_EQ(prompts.choose(with), first);
  EXPECT_EQ(prompts.choose(without), nobody);
  EXPECT_EQ(prompts.choose(with), first);
  EXPECT_EQ(prompts.choose(with), nobody);
}

/// In a real engine: the newcomer's first token is the one it would be alone, and the replies that sat out
/// are whole.
TEST(PromptsFirstTest, InAnEngineRepliesAreWhole) {
  const char* folder = std::getenv("SWITCHYARD_MODELS");
  const auto file = std::filesystem::path(folder != nullptr ? folder : SWITCHYARD_SOURCE_DIR "/models") /
                    "SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is absent: run scripts/fetch-models";
  ModelSpec spec{.model = "m", .version = "1", .reply_name = "m", .args = {}};
  spec.args = {{"model", file.string()}, {"ctx-size", "2048"}, {"threads", "1"}, {"parallel", "4"}};
  auto params = make_params(spec);
  ASSERT_TRUE(params) << params.error().to_string();
  InProcessEngine::Experience experience{
      .weights_key = weights_key(file.string(), common_model_params_to_llama(**params))};
  const auto loaded = InProcessEngine::load(std::move(*params), "m@1", experience, nullptr,
                                            [](const LoadProgress&) {}, nullptr, {});
  ASSERT_TRUE(loaded) << loaded.error().to_string();
  auto& engine = dynamic_cast<InProcessEngine&>(**loaded);
  engine.prompts_first().always();
  const auto post = [&](const nlohmann::json& body, const std::string& asker) {
    return post_completion(engine, body, asker, asker);
  };
  // The second token has the next newcomer come after a decode that the others had a part in.
  const auto first_token = [&] {
    const auto answer = post({{"prompt", "The sea is"},
                              {"n_predict", 2},
                              {"temperature", 0},
                              {"cache_prompt", false},
                              {"return_tokens", true}},
                             "b");
    return nlohmann::json::parse(answer->take_body()).at("tokens").at(0).get<int>();
  };
  const int alone = first_token();
  ASSERT_EQ(engine.prompts_first().sat_out(), 0U) << "nobody is there to sit out";

  constexpr int kTokens = 120;
  std::vector<std::unique_ptr<Reply>> others;
  std::string chunk;
  for (int i = 0; i < 3; ++i) {
    others.push_back(
        post({{"prompt", "Once upon a time"}, {"n_predict", kTokens}, {"ignore_eos", true}, {"stream", true}},
             "a"));
    ASSERT_TRUE(others.back()->next(chunk));
  }
  for (std::uint64_t i = 1; i <= 10; ++i) {
    EXPECT_EQ(first_token(), alone) << "it shared its decode with nobody";
    EXPECT_EQ(engine.prompts_first().sat_out(), i);
  }
  for (const auto& other : others) {
    std::string whole;
    while (other->next(chunk)) whole += chunk;
    whole += chunk;
    EXPECT_NE(whole.find("\"tokens_predicted\":" + std::to_string(kTokens)), std::string::npos) << whole;
  }
}

}  // namespace
}  // namespace switchyard::engine
