// Conversations of real engines that leave and come back: a model with full attention and one with
// sliding windows, from the models folder (scripts/fetch-models), skipped where they are absent.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/in_process.h"
#include "engine/test_requests.h"

namespace switchyard::engine {
namespace {

using nlohmann::json;

constexpr const char* kSmolLm2 = "SmolLM2-135M-Instruct.Q4_1.gguf";
constexpr const char* kGemma3 = "gemma-3-270m-q4_k_m.gguf";

/// A text of about 11 tokens a sentence that no other subject shares.
std::string story(const std::string& subject, int sentences) {
  std::string text = "A long story about " + subject + ".";
  for (int i = 0; i < sentences; ++i) {
    text += " On day " + std::to_string(i) + " the " + subject + " went to see the town.";
  }
  return text;
}

struct Turn {
  std::string reply;
  std::int64_t prompt = 0;  ///< tokens
  std::int64_t cached = 0;  ///< of them not evaluated again
};

class ConversationsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("SWITCHYARD_MODELS");
    file_ = std::filesystem::path(folder != nullptr ? folder : SWITCHYARD_SOURCE_DIR "/models") / GetParam();
    if (!std::filesystem::exists(file_)) GTEST_SKIP() << file_ << " is absent: run scripts/fetch-models";
    start();
  }
  void TearDown() override {
    loader_.reset();
    std::filesystem::remove_all(folder_);
  }
  /// Anew, as after a restart of the program.
  void start(ByteSize memory = ByteSize::gib(1), ByteSize disk = ByteSize::gib(1)) {
    loader_.reset();
    loader_ = make_loader({.helper_path = SWITCHYARD_INSPECT_HELPER,
                           .conversations = {.memory = memory, .disk = disk, .folder = folder_}});
  }
  std::unique_ptr<Engine> load(ArgMap more = {}, const std::string& version = "1") {
    ModelSpec spec{.model = "m", .version = version, .reply_name = "m", .args = std::move(more)};
    spec.args["model"] = file_.string();
    spec.args.try_emplace("ctx-size", "4096");
    spec.args.try_emplace("threads", "1");
    spec.args.try_emplace("parallel", "1");
    auto inspection = loader_->inspect(spec, {.host_budget = ByteSize::gib(8)}, {});
    EXPECT_TRUE(inspection) << inspection.error().to_string();
    auto engine = loader_->load(spec, *inspection, [](const LoadProgress&) {}, {});
    EXPECT_TRUE(engine) << engine.error().to_string();
    return std::move(*engine);
  }
  static Turn say(Engine& engine, const std::string& prompt, const std::string& owner = "") {
    const json body = {{"prompt", prompt}, {"n_predict", 12}, {"temperature", 0}};
    const auto reply = post_completion(engine, body, owner);
    const json answer = json::parse(reply->take_body());
    EXPECT_EQ(reply->status(), 200) << answer;
    const json& timings = answer.at("timings");
    const std::int64_t cached = timings.at("cache_n");
    return {.reply = answer.at("content"),
            .prompt = cached + timings.at("prompt_n").get<std::int64_t>(),
            .cached = cached};
  }
  static std::unique_ptr<Reply> start_stream(Engine& engine, json body, const std::string& owner) {
    body["stream"] = true;
    return post_completion(engine, body, owner);
  }
  static void ask(Engine& engine, const json& body, const std::string& owner) {
    const auto reply = post_completion(engine, body, owner);
    EXPECT_EQ(reply->status(), 200) << reply->take_body();
  }
  static json slots_of(Engine& engine) {
    const auto reply = engine.handle(
        {.method = "GET", .path = "/slots", .params = {}, .query_string = "", .headers = {}, .body = ""});
    json slots = json::parse(reply->take_body());
    for (json& slot : slots) slot.erase("next_token");  // of the last reply, whoever had it
    return slots;
  }
  /// The file that llama.cpp writes for a slot.
  std::string save_slot(Engine& engine, int slot) const {
    const auto reply = engine.handle({.method = "POST",
                                      .path = "/slots/" + std::to_string(slot),
                                      .params = {{"action", "save"}},
                                      .query_string = "",
                                      .headers = {},
                                      .body = R"({"filename":"slot.bin"})"});
    EXPECT_EQ(reply->status(), 200) << reply->take_body();
    std::ifstream file(folder_ + "/slot.bin", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void expect_kept(const Turn& turn) { EXPECT_GE(turn.cached * 100, turn.prompt * 95) << turn.prompt; }

  const std::string folder_ = testing::TempDir() + "engine_conversations_" + std::to_string(::getpid());
  const std::string cats_ = story("cat", 60), dogs_ = story("dog", 60), hens_ = story("hen", 60);
  std::filesystem::path file_;
  std::unique_ptr<EngineLoader> loader_;
};

TEST_P(ConversationsTest, TheReplyIsTheOneWithoutTheTrip) {
  auto staying = load({}, "staying");
  const std::string next = cats_ + say(*staying, cats_).reply + " What did it see?";
  const Turn undisturbed = say(*staying, next);
  staying.reset();
  auto engine = load();
  EXPECT_EQ(say(*engine, cats_).cached, 0) << "another version's conversation is not taken";
  const auto weights = engine->weights();
  engine.reset();
  engine = load();
  const Turn after = say(*engine, next);
  EXPECT_EQ(after.reply, undisturbed.reply);
  expect_kept(after);
  EXPECT_EQ(loader_->conversations().restored, 1U);
}

TEST_P(ConversationsTest, ItSurvivesARestartAndNothingElseIsTaken) {
  auto engine = load();
  const std::string next = cats_ + say(*engine, cats_).reply + " What did it see?";
  const Turn undisturbed = say(*engine, next);
  engine.reset();
  start();
  EXPECT_EQ(loader_->conversations().on_disk, 1U);
  engine = load();
  const Turn after = say(*engine, next);
  EXPECT_EQ(after.reply, undisturbed.reply);
  expect_kept(after);
  engine.reset();
  engine = load({{"cache-type-k", "q8_0"}});
  EXPECT_EQ(say(*engine, next).cached, 0) << "made for another type of cache";
}

TEST_P(ConversationsTest, MoreOfThemThanSlots) {
  for (const char* const prompt_cache : {"256", "0"}) {
    auto engine = load({{"cache-ram", prompt_cache}}, prompt_cache);
    std::map<const std::string*, std::string> next;
    for (const std::string* text : {&cats_, &dogs_, &hens_})
      next[text] = *text + say(*engine, *text).reply + " So";
    for (const std::string* text : {&cats_, &dogs_, &hens_}) expect_kept(say(*engine, next[text]));
    engine.reset();
    engine = load({{"cache-ram", prompt_cache}}, prompt_cache);
    for (const std::string* text : {&cats_, &dogs_, &hens_}) expect_kept(say(*engine, next[text] + " then"));
  }
}

TEST_P(ConversationsTest, ALongCommonBeginningHidesNone) {
  auto engine = load({{"parallel", "2"}});
  const std::string one = cats_ + story("fox", 30), two = cats_ + story("owl", 30),
                    three = cats_ + story("elk", 30);
  for (const std::string* text : {&one, &two, &three}) say(*engine, *text);
  for (const std::string* text : {&one, &two, &three}) expect_kept(say(*engine, *text + " So"));
  engine.reset();
  engine = load({{"parallel", "2"}});
  for (const std::string* text : {&three, &one, &two}) expect_kept(say(*engine, *text + " So then"));
}

/// What an owner has said is found again in a slot, in the prompt cache, in the store and after a return; the
/// same text of another owner never is.
TEST_P(ConversationsTest, AnOwnerFindsTheirOwnAlone) {
  const std::string text = story("cat", 8), other = story("dog", 8);
  const std::vector<std::string> owners{"", "ann", "bob"};
  struct Case {
    const char *slots, *prompt_cache, *kv_unified;
  };
  for (const Case& c :
       {Case{"1", "256", "no-kv-unified"}, {"4", "256", "kv-unified"}, {"2", "0", "no-kv-unified"}}) {
    SCOPED_TRACE(std::string(c.slots) + " slots, cache " + c.prompt_cache + ", " + c.kv_unified);
    start({}, ByteSize::gib(1));
    const ArgMap args{{"parallel", c.slots}, {"cache-ram", c.prompt_cache}, {c.kv_unified, "true"}};
    auto engine = load(args, c.slots);
    std::int64_t length = 0;
    for (const std::string& owner : owners) {
      const Turn first = say(*engine, text, owner);
      EXPECT_EQ(first.cached, 0) << owner << " was told what another has said";
      length = first.prompt;
    }
    std::map<std::string, std::string> next;
    for (const std::string& owner : owners) {
      const Turn again = say(*engine, text + " So", owner);
      EXPECT_GE(again.cached * 100, length * 95);
      next[owner] = text + " So" + again.reply;
      EXPECT_LT(say(*engine, other, owner).cached, 16)
          << "but for the beginning of what this owner said before";
    }
    engine.reset();
    engine = load(args, c.slots);
    EXPECT_EQ(say(*engine, next["bob"], "eve").cached, 0);
    for (const std::string& owner : owners)
      EXPECT_GE(say(*engine, next[owner], owner).cached * 100, length * 95);
  }
}

/// A request that cannot begin yet, because the slot that it names (2 of 2 is 0) is busy or its replies need
/// more slots than are free, touches nothing of what slots hold.
TEST_P(ConversationsTest, OneThatHasToWaitTouchesNobodysSlot) {
  const std::string text = story("cat", 8), other = story("dog", 8);
  for (const json& waiting : {json{{"id_slot", 2}}, json{{"n_cmpl", 2}}}) {
    SCOPED_TRACE(waiting.dump());
    auto engine = load({{"parallel", "2"}, {"cache-ram", "256"}, {"no-kv-unified", "true"}}, waiting.dump());
    ask(*engine, {{"prompt", other}, {"id_slot", 1}, {"n_predict", 1}}, "bob");  // what bob leaves in slot 1
    std::promise<void> begun;
    std::thread busy([&] {
      const auto reply = start_stream(*engine, {{"prompt", text}, {"id_slot", 0}, {"n_predict", 48}}, "ann");
      std::string chunk;
      bool more = reply->next(chunk);
      begun.set_value();
      while (more) more = reply->next(chunk);
      EXPECT_EQ(chunk.find("error"), std::string::npos) << chunk;
    });
    begun.get_future().wait();
    json body{{"prompt", story("hen", 8)}, {"n_predict", 1}};
    body.update(waiting);
    ask(*engine, body, "eve");
    busy.join();
    EXPECT_LT(say(*engine, text, "eve").cached, 16) << "ann's";
    EXPECT_LT(say(*engine, other, "eve").cached, 16) << "bob's";
    EXPECT_LT(say(*engine, story("hen", 8), "bob").cached, 16) << "eve's";
    EXPECT_GE(say(*engine, text, "ann").cached, 32);
  }
}

/// Whether a slot is empty or holds somebody's conversation: a new engine's slots are as llama-server's are,
/// and after a probe everything is as before, for who saves a slot, asks or has the engine end.
TEST_P(ConversationsTest, AProbeLeavesNoTrace) {
  std::filesystem::create_directories(folder_);
  const std::string text = story("cat", 8), other = story("dog", 8);
  struct Case {
    const char *slots, *prompt_cache, *kv_unified;
  };
  for (const Case& c : {Case{"1", "256", "no-kv-unified"},
                        {"1", "0", "kv-unified"},
                        {"2", "0", "no-kv-unified"},
                        {"4", "256", "kv-unified"}}) {
    SCOPED_TRACE(std::string(c.slots) + " slots, cache " + c.prompt_cache + ", " + c.kv_unified);
    const ArgMap args{{"parallel", c.slots},
                      {"cache-ram", c.prompt_cache},
                      {c.kv_unified, "true"},
                      {"slot-save-path", folder_ + "/"}};
    auto engine = load(args, c.slots + std::string(c.kv_unified));
    for (const json& slot : slots_of(*engine)) EXPECT_FALSE(slot.contains("id_task")) << slot;
    const bool two = *c.slots == '2';
    if (two) ask(*engine, {{"prompt", other}, {"id_slot", 0}, {"n_predict", 1}}, "bob");
    const int last = *c.slots - '1';
    ask(*engine, {{"prompt", text}, {"id_slot", last}, {"n_predict", 12}, {"temperature", 0}}, "ann");
    const json before = slots_of(*engine);
    const std::string saved = save_slot(*engine, last);
    for (int i = 0; i < 2; ++i) {
      const Status probed = engine->probe(std::chrono::seconds(60));
      ASSERT_TRUE(probed) << probed.error().to_string();
    }
    EXPECT_EQ(slots_of(*engine), before);
    EXPECT_TRUE(save_slot(*engine, last) == saved) << "another state than before the probe";
    ASSERT_TRUE(engine->probe(std::chrono::seconds(60)));
    engine.reset();
    engine = load(args, c.slots + std::string(c.kv_unified));
    EXPECT_GE(say(*engine, text + " So", "ann").cached, 64);
    if (two) {
      EXPECT_GE(say(*engine, other + " So", "bob").cached, 64);
    }
  }
}

TEST_P(ConversationsTest, WithoutTiersNothingIsKept) {
  start({}, {});
  auto engine = load();
  say(*engine, cats_);
  engine.reset();
  engine = load();
  EXPECT_EQ(say(*engine, cats_).cached, 0);
}

TEST_P(ConversationsTest, EmbeddingsHaveNone) {
  auto engine = load({{"embeddings", "true"}, {"pooling", "mean"}});
  const auto reply = engine->handle({.method = "POST",
                                     .path = "/embeddings",
                                     .params = {},
                                     .query_string = "",
                                     .headers = {},
                                     .body = json{{"content", story("cat", 5)}}.dump()});
  EXPECT_EQ(reply->status(), 200);
  engine.reset();
  EXPECT_EQ(loader_->conversations().unreadable, 0U);
}

INSTANTIATE_TEST_SUITE_P(Models, ConversationsTest, testing::Values(kSmolLm2, kGemma3),
                         [](const auto& model) { return model.param == kGemma3 ? "Gemma3" : "SmolLM2"; });

}  // namespace
}  // namespace switchyard::engine
