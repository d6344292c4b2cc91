#include "engine/conversation_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "engine/conversation_file.h"

namespace switchyard::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kStateBytes = 1000;

/// A conversation of `length` tokens that begins with `first`; a state of a thousand bytes or a bit more.
SlotState state_of(std::int32_t first, std::size_t length = 10, std::size_t bytes = kStateBytes) {
  SlotState state;
  state.tokens.resize(length);
  std::iota(state.tokens.begin(), state.tokens.end(), first);
  const std::size_t rest = bytes - length * sizeof(std::int32_t) - 30;
  state.main.assign(rest, static_cast<std::uint8_t>(first));
  state.draft.assign(10, 7);
  state.checkpoints.push_back({.n_tokens = 5,
                               .pos_min = 1,
                               .pos_max = 4,
                               .main = std::vector<std::uint8_t>(15, 3),
                               .draft = {},
                               .speculative = {}});
  state.checkpoints.back().speculative.assign(5, 9);
  return state;
}

std::vector<std::int32_t> tokens_of(std::int32_t first, std::size_t length = 10) {
  return state_of(first, length).tokens;
}

class ConversationStoreTest : public testing::Test {
 protected:
  void TearDown() override {
    fs::permissions(folder_, fs::perms::owner_all, error_);
    fs::remove_all(folder_, error_);
  }
  [[nodiscard]] ConversationStore::Options options(std::size_t in_memory, std::size_t on_disk = 0) const {
    return {.memory = ByteSize(in_memory * kStateBytes),
            .disk = ByteSize(on_disk * (kStateBytes + 300)),
            .folder = on_disk == 0 ? "" : folder_};
  }
  [[nodiscard]] std::vector<fs::path> files() const {
    std::vector<fs::path> all;
    std::error_code none;
    for (const auto& item : fs::recursive_directory_iterator(folder_, none)) {
      if (item.is_regular_file()) all.push_back(item.path());
    }
    return all;
  }
  /// Of one test; that of a parameter has a '/' in its name.
  static std::string folder_name() {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ranges::replace(name, '/', '_');
    return testing::TempDir() + "conversations_" + std::to_string(::getpid()) + "_" + name;
  }
  std::error_code error_;
  const std::string folder_ = folder_name();
};

TEST_F(ConversationStoreTest, TheLongestCommonBeginningIsFound) {
  ConversationStore store(options(10));
  const auto keeper = store.open("a@1", "shape");
  keeper->put(state_of(100));
  keeper->put(state_of(200));
  const auto found = keeper->find("", tokens_of(200, 30), 0);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->tokens, tokens_of(200));
  EXPECT_EQ(keeper->find("", tokens_of(200, 30), 10), nullptr) << "no better than what is known";
  EXPECT_EQ(keeper->find("", tokens_of(300), 0), nullptr);
}

TEST_F(ConversationStoreTest, AStateOfWhichLittleIsOfUseIsLeftAlone) {
  ConversationStore store(options(10));
  const auto keeper = store.open("a@1", "shape");
  keeper->put(state_of(100, 40));
  EXPECT_EQ(keeper->find("", tokens_of(100, 9), 0), nullptr);
  EXPECT_NE(keeper->find("", tokens_of(100, 10), 0), nullptr);
}

TEST_F(ConversationStoreTest, ALongerStateTakesThePlaceOfWhatItContinues) {
  ConversationStore store(options(10));
  const auto keeper = store.open("a@1", "shape");
  keeper->put(state_of(100, 10));
  keeper->put(state_of(100, 20));
  EXPECT_EQ(store.stats().in_memory, 1U);
  EXPECT_EQ(keeper->find("", tokens_of(100, 30), 0)->tokens.size(), 20U);
  keeper->put(state_of(100, 15));
  EXPECT_EQ(store.stats().in_memory, 1U) << "known already";
}

TEST_F(ConversationStoreTest, TheLeastRecentlyUsedGoesFirst) {
  ConversationStore store(options(2));
  const auto keeper = store.open("a@1", "shape");
  keeper->put(state_of(100));
  keeper->put(state_of(200));
  ASSERT_NE(keeper->find("", tokens_of(100), 0), nullptr);
  keeper->put(state_of(300));
  EXPECT_EQ(keeper->find("", tokens_of(200), 0), nullptr);
  EXPECT_NE(keeper->find("", tokens_of(100), 0), nullptr);
  EXPECT_NE(keeper->find("", tokens_of(300), 0), nullptr);
  EXPECT_LE(store.stats().memory_bytes, ByteSize(2 * kStateBytes));
  EXPECT_EQ(store.stats().dropped, 1U);
}

TEST_F(ConversationStoreTest, WhatIsLargerThanTheTierIsNotKept) {
  ConversationStore store(options(2));
  const auto keeper = store.open("a@1", "shape");
  EXPECT_FALSE(keeper->make_room(3 * kStateBytes));
  keeper->put(state_of(100));
  keeper->put(state_of(200, 10, 3 * kStateBytes));
  EXPECT_EQ(keeper->find("", tokens_of(200), 0), nullptr);
  EXPECT_NE(keeper->find("", tokens_of(100), 0), nullptr) << "nothing else was thrown out for it";
}

TEST_F(ConversationStoreTest, RoomIsMadeBeforeAStateIsCopied) {
  ConversationStore store(options(2));
  const auto keeper = store.open("a@1", "shape");
  keeper->put(state_of(100));
  keeper->put(state_of(200));
  EXPECT_TRUE(keeper->make_room(kStateBytes));
  EXPECT_LE(store.stats().memory_bytes, ByteSize(kStateBytes));
}

TEST_F(ConversationStoreTest, NeitherVersionsNorShapesShare) {
  ConversationStore store(options(10, 10));
  const auto one = store.open("a@1", "shape");
  const auto two = store.open("a@2", "shape");
  one->put(state_of(100));
  EXPECT_EQ(two->find("", tokens_of(100), 0), nullptr);
  store.flush();
  const auto reshaped = store.open("a@1", "other");
  EXPECT_EQ(reshaped->find("", tokens_of(100), 0), nullptr);
  EXPECT_EQ(one->find("", tokens_of(100), 0), nullptr);
  one->put(state_of(100));
  EXPECT_EQ(reshaped->find("", tokens_of(100), 0), nullptr) << "a late put of the old shape";
  store.flush();
  EXPECT_THAT(files(), testing::IsEmpty());
}

TEST_F(ConversationStoreTest, AForgottenVersionsStatesAndFilesAreGone) {
  ConversationStore store(options(10, 10));
  const auto a = store.open("a@1", "shape");
  const auto b = store.open("b@1", "shape");
  a->put(state_of(100));
  b->put(state_of(100));
  store.flush();
  EXPECT_EQ(files().size(), 2U);
  store.forget("a@1");
  a->put(state_of(200));  // its engine had not left yet
  store.flush();
  EXPECT_EQ(files().size(), 1U);
  EXPECT_EQ(a->find("", tokens_of(100), 0), nullptr);
  EXPECT_EQ(a->find("", tokens_of(200), 0), nullptr);
  EXPECT_NE(b->find("", tokens_of(100), 0), nullptr);
  store.forget_all_but({"c@1"});
  store.flush();
  EXPECT_THAT(files(), testing::IsEmpty());
  EXPECT_EQ(store.stats().memory_bytes, ByteSize(0));
  EXPECT_EQ(store.stats().disk_bytes, ByteSize(0));
}

TEST_F(ConversationStoreTest, WhatOneOwnerHasIsNeitherFoundNorReplacedByAnother) {
  SlotState own = state_of(100);
  own.owner = "k1";
  {
    ConversationStore store(options(10, 10));
    const auto keeper = store.open("a@1", "shape");
    keeper->put(own);
    keeper->put(state_of(100));      // the same said by nobody in particular
    keeper->put(state_of(100, 20));  // goes on with nobody's
    EXPECT_EQ(store.stats().in_memory, 2U);
    EXPECT_EQ(keeper->find("k1", tokens_of(100, 30), 0)->tokens.size(), 10U);
    EXPECT_EQ(keeper->find("", tokens_of(100, 30), 0)->tokens.size(), 20U);
    EXPECT_EQ(keeper->find("k2", tokens_of(100, 30), 0), nullptr);
    keeper->restored(std::make_shared<const SlotState>(own), false);
    EXPECT_EQ(keeper->find("k1", tokens_of(100, 30), 0), nullptr);
    EXPECT_NE(keeper->find("", tokens_of(100, 30), 0), nullptr);
    keeper->put(own);
  }
  ConversationStore store(options(10, 10));
  const auto keeper = store.open("a@1", "shape");
  EXPECT_EQ(keeper->find("k1", tokens_of(100, 30), 0)->tokens.size(), 10U);
  EXPECT_EQ(keeper->find("k2", tokens_of(100, 30), 0), nullptr);
}

TEST_F(ConversationStoreTest, ARestartFindsThemWhole) {
  const SlotState state = state_of(100);
  {
    ConversationStore store(options(10, 10));
    store.open("a@1", "shape")->put(state_of(100));
  }
  ConversationStore store(options(10, 10));
  EXPECT_EQ(store.stats().on_disk, 1U);
  EXPECT_EQ(store.stats().in_memory, 0U);
  const auto found = store.open("a@1", "shape")->find("", tokens_of(100, 20), 0);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->tokens, state.tokens);
  EXPECT_EQ(found->main, state.main);
  EXPECT_EQ(found->draft, state.draft);
  ASSERT_EQ(found->checkpoints.size(), 1U);
  EXPECT_EQ(found->checkpoints.front().n_tokens, 5);
  EXPECT_EQ(found->checkpoints.front().pos_min, 1);
  EXPECT_EQ(found->checkpoints.front().pos_max, 4);
  EXPECT_EQ(found->checkpoints.front().main, state.checkpoints.front().main);
  EXPECT_EQ(found->checkpoints.front().speculative, state.checkpoints.front().speculative);
  EXPECT_EQ(found->bytes(), state.bytes());
}

TEST_F(ConversationStoreTest, FilesAreTheOwnersAlone) {
  const mode_t before = ::umask(0);
  ConversationStore store(options(10, 10));
  store.open("a@1", "shape")->put(state_of(100));
  store.flush();
  ::umask(before);
  ASSERT_EQ(files().size(), 1U);
  struct stat st = {};
  ASSERT_EQ(::stat(files().front().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600U);
  for (const fs::path& folder : {fs::path(folder_), files().front().parent_path()}) {
    ASSERT_EQ(::stat(folder.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0700U) << folder;
  }
}

TEST_F(ConversationStoreTest, WhatMemoryHasNoRoomForComesFromDisk) {
  ConversationStore store(options(2, 10));
  const auto keeper = store.open("a@1", "shape");
  for (const std::int32_t first : {100, 200, 300, 400}) {
    keeper->put(state_of(first));
    store.flush();
  }
  EXPECT_EQ(store.stats().in_memory, 2U);
  EXPECT_EQ(store.stats().on_disk, 4U);
  EXPECT_EQ(store.stats().dropped, 0U);
  const auto oldest = keeper->find("", tokens_of(100), 0);
  ASSERT_NE(oldest, nullptr);
  EXPECT_EQ(oldest->main, state_of(100).main);
}

TEST_F(ConversationStoreTest, TheDiskIsBoundedTooAndTheLeastRecentlyUsedGoesFirst) {
  {
    ConversationStore store(options(1, 3));
    const auto keeper = store.open("a@1", "shape");
    for (const std::int32_t first : {100, 200, 300}) {
      keeper->put(state_of(first));
      store.flush();
    }
    ASSERT_NE(keeper->find("", tokens_of(100), 0), nullptr);
    keeper->put(state_of(400));
    store.flush();
    EXPECT_EQ(files().size(), 3U);
    EXPECT_LE(store.stats().disk_bytes, options(1, 3).disk);
    EXPECT_EQ(keeper->find("", tokens_of(200), 0), nullptr);
    EXPECT_NE(keeper->find("", tokens_of(100), 0), nullptr);
  }
  ConversationStore smaller(options(1, 1));
  smaller.flush();
  EXPECT_EQ(files().size(), 1U);
}

TEST_F(ConversationStoreTest, WithoutMemoryTheyGoStraightToDisk) {
  ConversationStore store(options(0, 10));
  const auto keeper = store.open("a@1", "shape");
  EXPECT_TRUE(keeper->make_room(kStateBytes));
  keeper->put(state_of(100));
  EXPECT_EQ(store.stats().memory_bytes, ByteSize(0));
  EXPECT_EQ(files().size(), 1U);
  EXPECT_NE(keeper->find("", tokens_of(100), 0), nullptr);
}

TEST_F(ConversationStoreTest, ADiskThatTakesNothingLeavesThemInMemory) {
  std::ofstream(folder_) << "a file where the folder should be";
  {
    ConversationStore store(options(10, 10));
    const auto keeper = store.open("a@1", "shape");
    testing::internal::CaptureStderr();
    keeper->put(state_of(100));
    keeper->put(state_of(200));
    store.flush();
    const std::string said = testing::internal::GetCapturedStderr();
    const std::size_t first = said.find("kept in memory only");
    EXPECT_NE(first, std::string::npos) << said;
    EXPECT_EQ(said.find("kept in memory only", first + 1), std::string::npos) << "said once";
    EXPECT_NE(keeper->find("", tokens_of(100), 0), nullptr);
    EXPECT_EQ(store.stats().on_disk, 0U);
    EXPECT_EQ(store.stats().disk_bytes, ByteSize(0));
  }
  fs::remove(folder_);
}

TEST_F(ConversationStoreTest, AStateThatIsNotTakenIsForgotten) {
  ConversationStore store(options(10, 10));
  const auto keeper = store.open("a@1", "shape");
  keeper->put(state_of(100));
  keeper->restored(keeper->find("", tokens_of(100), 0), true);
  keeper->restored(keeper->find("", tokens_of(100), 0), false);
  EXPECT_EQ(keeper->find("", tokens_of(100), 0), nullptr);
  EXPECT_EQ(store.stats().restored, 1U);
  EXPECT_EQ(store.stats().unreadable, 1U);
}

/// Each way in which a file can be wrong: what is done to its bytes.
struct Damage {
  const char* name;
  void (*apply)(std::string& bytes);
};

class DamagedFileTest : public ConversationStoreTest, public testing::WithParamInterface<Damage> {};

TEST_P(DamagedFileTest, IsIgnoredAndRemoved) {
  {
    ConversationStore store(options(10, 10));
    store.open("a@1", "shape")->put(state_of(100));
  }
  ASSERT_EQ(files().size(), 1U);
  const fs::path file = files().front();
  std::string bytes(fs::file_size(file), '\0');
  std::ifstream(file, std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  GetParam().apply(bytes);
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
  ConversationStore store(options(10, 10));
  EXPECT_EQ(store.open("a@1", "shape")->find("", tokens_of(100), 0), nullptr);
  store.flush();
  EXPECT_THAT(files(), testing::IsEmpty());
  EXPECT_EQ(store.stats().unreadable, 1U);
}

INSTANTIATE_TEST_SUITE_P(
    Ways, DamagedFileTest,
    testing::Values(Damage{"Empty", [](std::string& b) { b.clear(); }},
                    Damage{"Foreign",
                           [](std::string& b) { b = "this is no conversation, but as long as one"; }},
                    Damage{"NoState", [](std::string& b) { b.resize(120); }},
                    Damage{"Truncated", [](std::string& b) { b.pop_back(); }},
                    Damage{"Longer", [](std::string& b) { b += 'x'; }},
                    Damage{"HeadFlipped", [](std::string& b) { b[60] ^= 1; }},
                    Damage{"HugeHead", [](std::string& b) { b.replace(8, 8, 8, '\x7f'); }},
                    Damage{"HugeState", [](std::string& b) { b.replace(24, 8, 8, '\xff'); }},
                    Damage{"StateFlipped", [](std::string& b) { b[b.size() - 400] ^= 1; }}),
    [](const auto& way) { return way.param.name; });

TEST_F(ConversationStoreTest, HalfWrittenFilesOfAKillAreRemoved) {
  fs::create_directories(folder_ + "/abc");
  std::ofstream(folder_ + "/abc/0000000000000001.conversation.partial") << "half";
  ConversationStore store(options(10, 10));
  store.flush();
  EXPECT_THAT(files(), testing::IsEmpty());
}

}  // namespace
}  // namespace switchyard::engine
