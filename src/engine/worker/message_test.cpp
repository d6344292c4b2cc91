#include "engine/worker/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "engine/worker/codec.h"
#include "engine/worker/log_line.h"
#include "engine/worker/read_as_all.h"

namespace switchyard::engine::worker {
namespace {

using ::testing::ElementsAre;

/// What send() writes for a message.
std::string wire(Kind kind, const std::string& fields, const std::vector<Bytes>& blobs) {
  std::vector<std::size_t> sizes;
  for (const Bytes& blob : blobs) sizes.push_back(blob.size());
  std::string bytes = message_head(kind, fields.size(), sizes) + fields;
  for (const Bytes& blob : blobs) bytes.append(blob.begin(), blob.end());
  return bytes;
}

/// Bytes in memory, and nothing after them.
struct Memory {
  std::string_view left;
  std::size_t largest = 0;  ///< that was ever asked for at once
  Status operator()(std::span<std::uint8_t> to) {
    largest = std::max(largest, to.size());
    if (to.size() > left.size()) return fail(ErrorCode::kUnavailable, "no more");
    std::copy_n(left.begin(), to.size(), to.begin());
    left.remove_prefix(to.size());
    return {};
  }
};

Result<Message> read(Memory& memory) {
  return read_message([&](std::span<std::uint8_t> to) { return memory(to); });
}

TEST(Message, ComesOutAsItWentIn) {
  const std::string bytes = wire(Kind::kPut, "fields", {{1, 2, 3}, {}, Bytes(3 << 20, 7)});
  Memory memory{bytes};
  const auto message = read(memory);
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(message->kind, Kind::kPut);
  EXPECT_EQ(message->fields, "fields");
  EXPECT_THAT(message->blobs, ElementsAre(Bytes{1, 2, 3}, Bytes{}, Bytes(3 << 20, 7)));
  EXPECT_TRUE(memory.left.empty());
}

TEST(Message, CutAnywhereIsAnError) {
  const std::string whole = wire(Kind::kHandle, "fields", {{1, 2, 3}, {4}});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Memory memory{std::string_view(whole).substr(0, size)};
    EXPECT_FALSE(read(memory)) << size;
  }
}

TEST(Message, OneThatLiesAboutItsSizesTakesNoMemoryForThem) {
  const std::size_t much = std::size_t{60} << 30;
  const std::string lie = message_head(Kind::kChunk, 0, {&much, 1});
  Memory memory{lie};
  EXPECT_FALSE(read(memory));
  EXPECT_LE(memory.largest, std::size_t{1} << 20);
}

TEST(Message, RandomBytesAreAnError) {
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 200, '\0');
    std::ranges::generate(bytes, [&] { return static_cast<char>(random() % (round % 2 == 0 ? 256 : 4)); });
    Memory memory{bytes};
    auto message = read(memory);
    if (!message) continue;
    // A message by chance: whatever it is taken for, it is read to an answer.
    read_as_all(*message);
  }
}

TEST(Fields, SayWhatIsMissingAndWhatIsLeft) {
  const std::string fields = FieldWriter().number(7).text("ab\0c").real(0.5).take();
  FieldReader whole(fields);
  EXPECT_EQ(whole.number(), 7U);
  EXPECT_FALSE(whole.complete());
  EXPECT_EQ(whole.text(), "ab");
  EXPECT_EQ(whole.real(), 0.5);
  EXPECT_TRUE(whole.complete());
  EXPECT_EQ(whole.text(), "");
  EXPECT_TRUE(whole.missing());
  const std::string lies = FieldWriter().number(~0ULL).take();
  FieldReader long_text(lies);
  EXPECT_EQ(long_text.text(), "");
  EXPECT_TRUE(long_text.missing());
}

/// Sends with `say`, and what the other end receives.
template <typename Say>
Message sent(Say say) {
  auto pair = Channel::make_pair();
  EXPECT_TRUE(pair);
  EXPECT_TRUE(say(pair->first));
  auto message = pair->second.receive();
  EXPECT_TRUE(message);
  return std::move(*message);
}

TEST(Codec, ARequestTravelsWhole) {
  Request request{.method = "POST",
                  .path = "/v1/chat/completions",
                  .params = {{"a", "\xff\x01"}},
                  .query_string = "a=%ff",
                  .headers = {{"X-Conversation-Id",
                               "m@1\x1f"
                               "c"}},
                  .body = std::string("{\0}", 3),
                  .owner = "k1",
                  .asker = "k2"};
  request.files["file"] = {.data = {0, 1, 255}, .filename = "a.wav", .content_type = "audio/wav"};
  const auto read =
      read_handle(sent([&](Channel& to) { return send(to, HandleOrder{.engine = 3, .request = request}); }));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->engine, 3U);
  EXPECT_EQ(read->request.params, request.params);
  EXPECT_EQ(read->request.headers, request.headers);
  EXPECT_EQ(read->request.body, request.body);
  EXPECT_EQ(read->request.owner, "k1");
  EXPECT_EQ(read->request.asker, "k2");
  EXPECT_EQ(read->request.files.at("file").data, request.files.at("file").data);
  EXPECT_EQ(read->request.files.at("file").filename, "a.wav");
}

TEST(Codec, ALoadTravelsWholeDownToBytesThatAreNoText) {
  LoadOrder order;
  order.spec = {.model = "m", .version = "2", .reply_name = "n", .args = {{"model", "/m/\xff.gguf"}}};
  order.inspection.resolved_args = {{"model", "/m/\xff.gguf"}, {"ctx-size", "4096"}};
  order.inspection.weights_key = "key";
  order.inspection.context_probes = {1, 2};
  order.inspection.need.host_buffers = {ByteSize::mib(3)};
  order.keeps_conversations = true;
  const auto read = read_load(sent([&](Channel& to) { return send(to, order); }));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->spec, order.spec);
  EXPECT_EQ(read->inspection.resolved_args, order.inspection.resolved_args);
  EXPECT_EQ(read->inspection.weights_key, "key");
  EXPECT_THAT(read->inspection.context_probes, ElementsAre(1, 2));
  EXPECT_TRUE(read->keeps_conversations);
}

TEST(Codec, AStateTravelsWithItsCheckpoints) {
  SlotState state{.owner = "k1", .tokens = {1, -1, 7}, .checkpoints = {}, .main = {1, 2}, .draft = {}};
  state.checkpoints.push_back(
      {.n_tokens = 5, .pos_min = -1, .pos_max = 4, .main = {9}, .draft = {8, 8}, .speculative = {}});
  const auto read = read_state(sent([&](Channel& to) { return send_state(to, Kind::kFound, &state); }));
  ASSERT_TRUE(read);
  EXPECT_EQ((*read)->owner, "k1");
  EXPECT_EQ((*read)->tokens, state.tokens);
  EXPECT_EQ((*read)->main, state.main);
  ASSERT_EQ((*read)->checkpoints.size(), 1U);
  EXPECT_EQ((*read)->checkpoints.front().pos_min, -1);
  EXPECT_EQ((*read)->checkpoints.front().draft, Bytes({8, 8}));
  const auto none = read_state(sent([](Channel& to) { return send_state(to, Kind::kFound, nullptr); }));
  ASSERT_TRUE(none);
  EXPECT_EQ(*none, nullptr);
}

TEST(Codec, WhatAWorkerIsToldArrives) {
  StartOrder order{.build = "b1", .log_level = telemetry::LogLevel::kWarning, .cores = 3};
  order.limits = {.memory = ByteSize::gib(2), .cpus = {0, 3}, .nice = 5};
  order.process_args = {{"numa", "distribute"}};
  const auto read = read_start(sent([&](Channel& to) { return send(to, order); }));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->build, "b1");
  EXPECT_EQ(read->log_level, telemetry::LogLevel::kWarning);
  EXPECT_EQ(read->limits, order.limits);
  EXPECT_EQ(read->cores, 3U);
  EXPECT_EQ(read->process_args, order.process_args);
}

TEST(Codec, AnErrorKeepsItsCode) {
  const Error error =
      read_error(sent([](Channel& to) { return send(to, Error{ErrorCode::kCancelled, "stopped", "why"}); }));
  EXPECT_EQ(error.code, ErrorCode::kCancelled);
  EXPECT_EQ(error.message, "stopped");
  EXPECT_EQ(error.cause, "why");
  EXPECT_EQ(read_error({.kind = Kind::kDone}).code, ErrorCode::kInternal);
}

TEST(Channel, TheOtherEndsHangingUpIsSeenWhileItsWordsStillCome) {
  auto pair = Channel::make_pair();
  ASSERT_TRUE(pair);
  auto& [here, there] = *pair;
  EXPECT_FALSE(there.hung_up());
  EXPECT_FALSE(there.readable(std::chrono::milliseconds(0)));
  ASSERT_TRUE(send(here, Kind::kDone, 1));
  here.hang_up();
  EXPECT_TRUE(there.hung_up());
  EXPECT_TRUE(there.receive());
  EXPECT_EQ(there.receive().error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(send(there, Kind::kDone, 2));
  EXPECT_TRUE(here.receive());
}

TEST(LogLine, TravelsAsOneLine) {
  const std::string line = encode_log_line(telemetry::LogLevel::kWarning, "m@1", "one\ntwo");
  EXPECT_EQ(std::ranges::count(line, '\n'), 1);
  const LogLine read = decode_log_line(std::string_view(line).substr(0, line.size() - 1), "x");
  EXPECT_EQ(read.level, telemetry::LogLevel::kWarning);
  EXPECT_EQ(read.component, "m@1");
  EXPECT_EQ(read.text, "one\ntwo");
}

TEST(LogLine, WhatALibraryPrintsIsAnErrorOfTheWorker) {
  const LogLine read = decode_log_line("GGML_ASSERT(x) failed", "m@1");
  EXPECT_EQ(read.level, telemetry::LogLevel::kError);
  EXPECT_EQ(read.component, "m@1");
  EXPECT_EQ(read.text, "GGML_ASSERT(x) failed");
}

}  // namespace
}  // namespace switchyard::engine::worker
