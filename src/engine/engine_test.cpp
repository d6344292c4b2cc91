// The in-process engine on a real model: SmolLM2 from the models folder (scripts/fetch-models), skipped
// with a reason where it is absent.
#include <gmock/gmock.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>
#include <vector>

#include "engine/in_process.h"
#include "engine/inspection_json.h"
#include "engine/thread_budget.h"
#include "engine/weights_store.h"
#include "store/database.h"

namespace switchyard::engine {
namespace {

std::filesystem::path models_folder() {
  const char* folder = std::getenv("SWITCHYARD_MODELS");
  return folder != nullptr ? folder : SWITCHYARD_SOURCE_DIR "/models";
}

ModelSpec smollm2(ArgMap more = {}) {
  ModelSpec spec{.model = "smollm2", .version = "1", .reply_name = "smollm2", .args = std::move(more)};
  spec.args["model"] = (models_folder() / "SmolLM2-135M-Instruct.Q4_1.gguf").string();
  spec.args.try_emplace("ctx-size", "1024");
  spec.args.try_emplace("threads", "2");
  return spec;
}

Request chat(const std::string& prompt, bool stream) {
  return {.method = "POST",
          .path = "/v1/chat/completions",
          .params = {},
          .query_string = "",
          .headers = {},
          .body = R"({"messages":[{"role":"user","content":")" + prompt +
                  R"("}],"max_tokens":12,"temperature":0,"stream":)" + (stream ? "true" : "false") + "}"};
}

std::string content_of(const std::string& body) {
  const std::size_t at = body.find("\"content\":\"");
  return at == std::string::npos ? "" : body.substr(at, body.find("\"}", at) - at);
}

/// Of all mappings of the file in this process.
std::uint64_t resident_bytes_of(const std::string& path) {
  std::ifstream smaps("/proc/self/smaps");
  std::string line;
  std::uint64_t kib = 0;
  bool of_file = false;
  while (std::getline(smaps, line)) {
    if (line.find('-') < line.find(' ')) of_file = line.ends_with(std::filesystem::canonical(path).string());
    unsigned long long rss = 0;
    if (of_file && std::sscanf(line.c_str(), "Rss: %llu kB", &rss) == 1) kib += rss;
  }
  return kib << 10;
}

class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(smollm2().args.at("model"))) {
      GTEST_SKIP() << "no real model in " << models_folder() << ": run scripts/fetch-models";
    }
  }
  Result<Inspection> inspect(const ModelSpec& spec) {
    return loader_->inspect(spec, {.host_budget = ByteSize::gib(8)}, {});
  }
  Result<std::unique_ptr<Engine>> load(const ModelSpec& spec, std::stop_token stop = {}) {
    auto inspection = inspect(spec);
    if (!inspection) return std::unexpected(inspection.error());
    return loader_->load(spec, *inspection, [this](const LoadProgress& p) { progress_.push_back(p); }, stop);
  }
  std::unique_ptr<EngineLoader> loader_ = make_loader({.helper_path = SWITCHYARD_INSPECT_HELPER});
  std::vector<LoadProgress> progress_;
};

TEST_F(EngineTest, AnswersInOnePieceAndInAStream) {
  auto engine = load(smollm2());
  ASSERT_TRUE(engine) << engine.error().to_string();
  EXPECT_EQ(progress_.back().stage, "warmup");
  const auto whole = (*engine)->handle(chat("Say hello.", false));
  ASSERT_EQ(whole->status(), 200);
  const std::string body = whole->take_body();
  EXPECT_NE(body.find("\"model\":\"smollm2\""), std::string::npos) << body;

  const auto stream = (*engine)->handle(chat("Say hello.", true));
  ASSERT_TRUE(stream->is_stream());
  std::string all;
  std::string chunk;
  while (stream->next(chunk)) all += chunk;
  all += chunk;
  EXPECT_TRUE(all.ends_with("data: [DONE]\n\n")) << all;
}

TEST_F(EngineTest, UnknownPathIs404) {
  auto engine = load(smollm2());
  ASSERT_TRUE(engine);
  EXPECT_EQ((*engine)
                ->handle({.method = "GET",
                          .path = "/nonsense",
                          .params = {},
                          .query_string = "",
                          .headers = {},
                          .body = ""})
                ->status(),
            404);
}

/// llama.cpp dates prompts by it while others are being rendered.
TEST(LocalTimeTest, IsEachThreadsOwn) {
  const std::time_t now = 0, later = 86400;
  const std::tm* mine = std::localtime(&now);
  const int day = mine->tm_yday;
  std::thread([&] { EXPECT_NE(std::localtime(&later), mine); }).join();
  EXPECT_EQ(mine->tm_yday, day);
}

TEST_F(EngineTest, BadBodyIsTheHandlersError) {
  auto engine = load(smollm2());
  ASSERT_TRUE(engine);
  Request request = chat("x", false);
  request.body = R"({"messages": 5})";
  EXPECT_EQ((*engine)->handle(std::move(request))->status(), 400);
}

TEST_F(EngineTest, ParkedWeightsAreFoundAgainAndTheReplyIsTheSame) {
  const ModelSpec spec = smollm2();
  auto engine = load(spec);
  ASSERT_TRUE(engine);
  const std::string before = content_of((*engine)->handle(chat("Count to five.", false))->take_body());
  ASSERT_FALSE(before.empty());
  const auto weights = (*engine)->weights();
  engine->reset();
  EXPECT_EQ(stored_models(), 1U);
  const auto inspection = inspect(spec);
  ASSERT_TRUE(inspection);
  EXPECT_GE(weights->release_pages(), inspection->need.items.front().weights_mapped);
  progress_.clear();
  engine = load(spec);
  ASSERT_TRUE(engine);
  EXPECT_NE(progress_.back().stage, "warmup") << "a return from parked has proven itself before";
  EXPECT_EQ(content_of((*engine)->handle(chat("Count to five.", false))->take_body()), before);
}

/// Of a file that is too large to be run at its inspection; here that of a small one is taken away.
TEST_F(EngineTest, WhatAContextCanDoIsFoundOutOnceForAllStarts) {
  const std::string path = ::testing::TempDir() + "learnt_" + std::to_string(::getpid()) + ".sqlite";
  const auto load_as_large = [&] {
    loader_.reset();
    loader_ = make_loader({.helper_path = SWITCHYARD_INSPECT_HELPER, .cache_path = path});
    auto inspection = inspect(smollm2());
    ASSERT_TRUE(inspection);
    ASSERT_FALSE(inspection->context_probes.empty());
    inspection->context_probes.clear();
    ASSERT_TRUE(loader_->load(smollm2(), *inspection, [](const LoadProgress&) {}, {}));
  };
  const auto of_file = [&](const char* statement) {
    auto database = store::Database::open(path, std::array<std::string_view, 1>());
    ASSERT_TRUE(database) << database.error().to_string();
    ASSERT_TRUE(database->execute(statement));
  };
  load_as_large();
  of_file("UPDATE inspections SET value = '0' WHERE key LIKE 'context|%'");  // none can be taken out
  ::testing::internal::CaptureStderr();
  load_as_large();
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              ::testing::HasSubstr("not supported by this context"));
  of_file("DELETE FROM inspections WHERE key LIKE 'context|%'");
  ::testing::internal::CaptureStderr();
  load_as_large();
  EXPECT_EQ(::testing::internal::GetCapturedStderr().find("not supported by this context"),
            std::string::npos);
  loader_.reset();
  std::filesystem::remove(path);
}

TEST_F(EngineTest, TheBuffersOfALoadAreKnownBeforeIt) {
  const auto inspection = inspect(smollm2());
  ASSERT_TRUE(inspection);
  ByteSize sum;
  for (const ByteSize size : inspection->need.host_buffers) sum += size;
  const MemoryNeed::Item& host = inspection->need.items.front();
  EXPECT_EQ(sum, host.weights_private + host.context);
}

TEST_F(EngineTest, OfTheMappedFileOnlyTensorsInUseAreResident) {
  const ModelSpec spec = smollm2();
  const auto inspection = inspect(spec);
  ASSERT_TRUE(inspection);
  // Where weights were repacked from it, what was predicted is less than the file; between them, small
  // tensors.
  const std::uint64_t most = inspection->need.items.front().weights_mapped.bytes() + (8U << 20);
  const auto engine = load(spec);
  ASSERT_TRUE(engine);
  EXPECT_EQ((*engine)->handle(chat("Hi", false))->status(), 200);
  const std::uint64_t resident = resident_bytes_of(spec.args.at("model"));
  EXPECT_GT(resident, 0U);
  EXPECT_LE(resident, most);
  (*engine)->weights()->release_pages();
  EXPECT_LT(resident_bytes_of(spec.args.at("model")), resident);
}

TEST_F(EngineTest, AnotherLoadOfTheSameFileLeavesTheFirstOnesMappingAlone) {
  auto first = load(smollm2());
  auto second = load(smollm2({{"repack", "false"}}));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(stored_models(), 2U);
  const std::string body = (*first)->handle(chat("Count to five.", false))->take_body();
  EXPECT_FALSE(content_of((*second)->handle(chat("Count to five.", false))->take_body()).empty());
  second->reset();
  EXPECT_EQ(content_of((*first)->handle(chat("Count to five.", false))->take_body()), content_of(body));
}

TEST_F(EngineTest, TwoContextSizesShareOneCopyOfTheWeights) {
  auto a = load(smollm2());
  auto b = load(smollm2({{"ctx-size", "2048"}}));
  ASSERT_TRUE(a && b);
  EXPECT_EQ(stored_models(), 1U);
  EXPECT_EQ((*b)->handle(chat("Hi", false))->status(), 200);
  a->reset();
  EXPECT_EQ((*b)->handle(chat("Hi", false))->status(), 200);
  b->reset();
  EXPECT_EQ(stored_models(), 0U);
}

TEST_F(EngineTest, ACancelledLoadLeavesNothing) {
  std::stop_source stop;
  stop.request_stop();
  const ModelSpec spec = smollm2();
  const auto inspection = inspect(spec);
  ASSERT_TRUE(inspection);
  const auto engine = loader_->load(spec, *inspection, [](const LoadProgress&) {}, stop.get_token());
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(stored_models(), 0U);
}

TEST_F(EngineTest, SamplesCountUsersAndNotTheProof) {
  auto engine = load(smollm2());
  ASSERT_TRUE(engine);
  EXPECT_EQ((*engine)->sample(std::chrono::seconds(5)).predicted_tokens, 0U);
  (void)(*engine)->handle(chat("Say hello.", false))->take_body();
  EXPECT_GT((*engine)->sample(std::chrono::seconds(5)).prompt_tokens, 0U);
}

TEST_F(EngineTest, AProbeGeneratesAndIsCountedForNobody) {
  auto engine = load(smollm2());
  ASSERT_TRUE(engine);
  const std::uint64_t before = (*engine)->activity()->read().beats;
  ASSERT_TRUE((*engine)->probe(std::chrono::minutes(1)));
  EXPECT_GT((*engine)->activity()->read().beats, before);
  const EngineSample sample = (*engine)->sample(std::chrono::seconds(5));
  EXPECT_EQ(sample.prompt_tokens, 0U);
  EXPECT_EQ(sample.predicted_tokens, 0U);
  EXPECT_EQ(sample.decode_calls, 0U);
}

TEST_F(EngineTest, AnEmbeddingModelIsProbedByAnEmbedding) {
  for (const char* pooling : {"mean", "none"}) {
    auto engine = load(smollm2({{"embedding", "true"}, {"pooling", pooling}}));
    ASSERT_TRUE(engine) << engine.error().to_string();
    const Status probed = (*engine)->probe(std::chrono::minutes(1));
    EXPECT_TRUE(probed) << probed.error().to_string();
    EXPECT_EQ((*engine)->sample(std::chrono::seconds(5)).prompt_tokens, 0U) << pooling;
  }
}

TEST_F(EngineTest, ADecodeIsAbortedInItsMiddleAndTheEngineEnds) {
  auto engine = load(smollm2());
  ASSERT_TRUE(engine);
  std::string prompt;
  for (int i = 0; i < 400; ++i) prompt += "word ";
  std::thread client([&] {
    const auto reply = (*engine)->handle(chat(prompt, false));
    EXPECT_EQ(reply->status(), 500) << "the decode would have gone on";
  });
  const auto activity = (*engine)->activity();
  const std::uint64_t before = activity->read().beats;
  while (activity->read().beats < before + 100) std::this_thread::yield();  // nodes of one decode
  EXPECT_TRUE((*engine)->abort(std::chrono::minutes(1)));
  client.join();
  EXPECT_FALSE(activity->read().working);
}

TEST_F(EngineTest, UnsetContextTakesWhatTheBudgetAdmits) {
  ModelSpec spec = smollm2();
  spec.args.erase("ctx-size");
  const auto roomy = loader_->inspect(spec, {.host_budget = ByteSize::gib(8)}, {});
  ASSERT_TRUE(roomy) << roomy.error().to_string();
  EXPECT_EQ(roomy->n_ctx, roomy->n_ctx_train);
  const ByteSize need = roomy->need.items.front().total() - roomy->need.items.front().prompt_cache;
  const auto tight = loader_->inspect(spec, {.host_budget = need - ByteSize::mib(40)}, {});
  ASSERT_TRUE(tight);
  EXPECT_LT(tight->n_ctx, tight->n_ctx_train);
  EXPECT_GE(tight->n_ctx, 4096U);
}

TEST_F(EngineTest, AContextChosenForABudgetFitsIt) {
  ModelSpec spec = smollm2();
  spec.args["model"] = (models_folder() / "gemma-3-270m-q4_k_m.gguf").string();
  spec.args.erase("ctx-size");
  for (const std::uint64_t mib : {450U, 500U, 600U, 800U}) {
    const auto inspection = loader_->inspect(spec, {.host_budget = ByteSize::mib(mib)}, {});
    ASSERT_TRUE(inspection) << inspection.error().to_string();
    ASSERT_GE(inspection->n_ctx, 4096U) << mib;
    if (inspection->n_ctx > 4096U) {
      EXPECT_LE(inspection->need.items.front().total(), ByteSize::mib(mib)) << mib;
    }
  }
}

TEST_F(EngineTest, AHugeContextIsJudgedWithoutBeingMade) {
  const auto huge = inspect(smollm2({{"ctx-size", "2000000000"}}));
  ASSERT_TRUE(huge) << huge.error().to_string();
  const auto large = inspect(smollm2({{"ctx-size", "1000000"}}));
  ASSERT_TRUE(large) << large.error().to_string();
  const auto ratio = static_cast<double>(huge->need.items.front().context.bytes()) /
                     static_cast<double>(large->need.items.front().context.bytes());
  EXPECT_NEAR(ratio, 2000.0, 20.0);
}

TEST_F(EngineTest, AReplacedFileIsNotLoadedForWhatWasInspected) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("switchyard-replaced-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  ModelSpec spec = smollm2();
  const std::filesystem::path real = spec.args.at("model");
  spec.args["model"] = (folder / "model.gguf").string();
  std::filesystem::copy_file(real, spec.args["model"]);
  const auto inspection = inspect(spec);
  ASSERT_TRUE(inspection) << inspection.error().to_string();
  std::filesystem::remove(spec.args["model"]);
  std::filesystem::copy_file(real, spec.args["model"]);
  const auto engine = loader_->load(spec, *inspection, [](const LoadProgress&) {}, {});
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kUnavailable) << engine.error().to_string();
  EXPECT_EQ(stored_models(), 0U);
  std::filesystem::remove_all(folder);
}

/// SmolLM2 from a copy that a test may damage.
class DamagedFileTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped()) return;
    std::filesystem::create_directories(folder_);
    spec_.args["model"] = (folder_ / "model.gguf").string();
    std::filesystem::copy_file(smollm2().args.at("model"), spec_.args["model"]);
    loader_.reset();
    loader_ = make_loader(
        {.helper_path = SWITCHYARD_INSPECT_HELPER,
         .on_failed = [this](const std::string& model, const std::string& version, const Error& why) {
           failed_.push_back(model + "@" + version + " " + std::string(to_string(why.code)));
         }});
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void cut() const {
    std::filesystem::resize_file(spec_.args.at("model"),
                                 std::filesystem::file_size(spec_.args.at("model")) / 3);
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("switchyard-damaged-" + std::to_string(::getpid()));
  ModelSpec spec_ = smollm2();
  std::vector<std::string> failed_;
};

TEST_F(DamagedFileTest, AFileThatIsCutShortDuringItsLoadFailsIt) {
  const auto inspection = inspect(spec_);
  ASSERT_TRUE(inspection) << inspection.error().to_string();
  bool is_cut = false;
  const auto engine = loader_->load(
      spec_, *inspection,
      [&](const LoadProgress& progress) {
        if (progress.stage == "text_model" && progress.value > 0.1 && !std::exchange(is_cut, true)) cut();
      },
      {});
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kCorruptFile) << engine.error().to_string();
  EXPECT_NE(engine.error().message.find("truncated while"), std::string::npos);
  EXPECT_TRUE(failed_.empty()) << "the load has said so itself";
  EXPECT_EQ(stored_models(), 0U);
}

TEST_F(DamagedFileTest, AnEngineWhoseFileIsCutShortSaysSoOnceAndAnswersNothingMore) {
  auto engine = load(spec_);
  ASSERT_TRUE(engine) << engine.error().to_string();
  ASSERT_EQ((*engine)->handle(chat("Say hello.", false))->status(), 200);
  cut();
  for (int i = 0; i < 2; ++i) EXPECT_EQ((*engine)->handle(chat("Say it again.", false))->status(), 500);
  EXPECT_EQ(failed_, std::vector<std::string>{"smollm2@1 corrupt_file"});
}

TEST_F(EngineTest, APinnedHashThatDiffersRefusesTheFile) {
  ModelSpec spec = smollm2();
  spec.sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
  EXPECT_TRUE(inspect(spec));
  spec.sha256.front() = 'c';
  const auto refused = inspect(spec);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kCorruptFile);
  EXPECT_NE(refused.error().message.find("sha256"), std::string::npos);
}

TEST_F(EngineTest, BadFilesAreNamedAndClassified) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("switchyard-engine-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto real = smollm2().args.at("model");
  std::string head(1 << 20, '\0');
  std::ifstream(real, std::ios::binary).read(head.data(), static_cast<std::streamsize>(head.size()));
  std::string long_string = head;
  for (int i = 0; i < 8; ++i)
    long_string[24 + static_cast<std::size_t>(i)] = i == 7 ? '\x10' : '\0';  // first key's length: 2^60
  const std::vector<std::tuple<std::string, std::string, ErrorCode>> cases = {
      {"text.gguf", "this is no model", ErrorCode::kCorruptFile},
      {"empty.gguf", "", ErrorCode::kCorruptFile},
      {"truncated.gguf", head, ErrorCode::kCorruptFile},
      {"header.gguf", head.substr(0, 20000), ErrorCode::kCorruptFile},
      {"length.gguf", long_string, ErrorCode::kCorruptFile},
  };
  for (const auto& [name, bytes, code] : cases) {
    std::ofstream(folder / name, std::ios::binary) << bytes;
    ModelSpec spec = smollm2();
    spec.args["model"] = (folder / name).string();
    const auto answer = inspect(spec);
    ASSERT_FALSE(answer) << name;
    EXPECT_EQ(answer.error().code, code) << name << ": " << answer.error().to_string();
    EXPECT_NE(answer.error().message.find(name), std::string::npos) << answer.error().to_string();
  }
  ModelSpec missing = smollm2();
  missing.args["model"] = (folder / "missing.gguf").string();
  EXPECT_EQ(inspect(missing).error().code, ErrorCode::kNotFound);
  EXPECT_NE(inspect(missing).error().message.find("no such file"), std::string::npos);
  const std::filesystem::path loop = folder / "loop.gguf";
  std::filesystem::create_symlink(loop, loop);
  missing.args["model"] = loop.string();
  EXPECT_NE(inspect(missing).error().message.find("symbolic links"), std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST(ThreadBudget, SharesCoresAndNeverGivesNone) {
  EXPECT_EQ(threads_for(2, {.cores = 2, .others = 0, .machine = 2}), 2);
  EXPECT_EQ(threads_for(2, {.cores = 2, .others = 1, .machine = 2}), 1);
  EXPECT_EQ(threads_for(2, {.cores = 2, .others = 5, .machine = 2}), 1);
  EXPECT_EQ(threads_for(4, {.cores = 16, .others = 1, .machine = 16}), 4);
  EXPECT_EQ(threads_for(16, {.cores = 16, .others = 3, .machine = 16}), 4);
}

TEST(ThreadBudget, LeavesOtherProgramsTheirCores) {
  EXPECT_EQ(threads_for(2, {.cores = 2, .machine = 2, .foreign = 0.5}), 2);
  EXPECT_EQ(threads_for(2, {.cores = 2, .machine = 2, .foreign = 0.65}), 1);
  EXPECT_EQ(threads_for(2, {.cores = 2, .machine = 2, .foreign = 1.0}), 1);
  EXPECT_EQ(threads_for(2, {.cores = 2, .machine = 2, .foreign = 40}), 1);
  EXPECT_EQ(threads_for(8, {.cores = 8, .machine = 64, .foreign = 50}), 8);
}

TEST(InspectionJson, RoundTrips) {
  Inspection i{.weights_key = "k",
               .need = {},
               .resolved_args = {{"ctx-size", "4096"}},
               .n_ctx = 4096,
               .n_ctx_train = 8192,
               .n_layers = 30,
               .n_slots = 4,
               .n_params = 135,
               .file_size = ByteSize(98),
               .architecture = "llama",
               .inp_vision = true,
               .inp_audio = false,
               .details_json = "{}"};
  i.need.host_buffers = {ByteSize(2), ByteSize(3)};
  i.context_probes = {1};
  i.need.items.push_back({.device = "host",
                          .weights_mapped = ByteSize(1),
                          .weights_private = ByteSize(2),
                          .context = ByteSize(3),
                          .compute = ByteSize(4),
                          .vocabulary = ByteSize(5),
                          .prompt_cache = ByteSize(6),
                          .device_memory = ByteSize(7)});
  const auto back = inspection_from_json(to_json(Result<Inspection>(i)));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->need.items.front().total(), ByteSize(21));
  EXPECT_EQ(back->need.items.front().device_memory, ByteSize(7));
  EXPECT_EQ(back->need.host_buffers, i.need.host_buffers);
  EXPECT_EQ(back->context_probes, i.context_probes);
  EXPECT_EQ(back->resolved_args, i.resolved_args);
  const auto error = inspection_from_json(to_json(Result<Inspection>(fail(ErrorCode::kNotFound, "m", "c"))));
  EXPECT_EQ(error.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(inspection_from_json("nonsense").error().code, ErrorCode::kInternal);
}

}  // namespace
}  // namespace switchyard::engine
