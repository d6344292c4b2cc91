#include "store/key_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "store/usage_store.h"

namespace switchyard::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const KeyRow kFull{.id = "key-1",
                   .hash = "ab12",
                   .key_alias = "acme",
                   .scopes = "inference,read",
                   .models = {"a", "b@2"},
                   .aliases = {{"chat", "a@1"}},
                   .rpm_limit = 3,
                   .tpm_limit = 1000,
                   .max_parallel_requests = 2,
                   .blocked = true,
                   .created = 5,
                   .expires = 99,
                   .revoked = 0,
                   .metadata = R"({"team":"x"})"};

class KeyStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "keysXXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  [[nodiscard]] std::string path() const { return dir_ / "state.sqlite"; }
  std::filesystem::path dir_;
};

TEST_F(KeyStoreTest, KeysAreThereAgainInTheirOrder) {
  const KeyRow plain{.id = "key-0", .hash = "cd", .scopes = "inference", .created = 7, .metadata = "{}"};
  {
    StateDatabase state(path());
    ASSERT_TRUE(KeyStore(state).put({kFull, plain}));
  }
  StateDatabase state(path());
  EXPECT_THAT(*KeyStore(state).keys(), ElementsAre(kFull, plain));
}

TEST_F(KeyStoreTest, AKeyIsReplacedInItsPlace) {
  StateDatabase state(path());
  KeyStore store(state);
  KeyRow row = kFull;
  ASSERT_TRUE(store.put({row, {.id = "key-2", .hash = "ef"}}));
  row.hash.clear();
  row.revoked = 12;
  row.rpm_limit.reset();
  ASSERT_TRUE(store.put({row}));
  ASSERT_EQ(store.keys()->size(), 2U);
  EXPECT_EQ(store.keys()->front(), row);
}

TEST_F(KeyStoreTest, NothingOfSeveralIsKeptWhereOneCannotBe) {
  StateDatabase state(path());
  KeyStore store(state);
  EXPECT_FALSE(store.put({{.id = "key-1", .hash = "same"}, {.id = "key-2", .hash = "same"}}))
      << "two keys of one secret";
  EXPECT_THAT(*store.keys(), IsEmpty());
}

TEST_F(KeyStoreTest, UsageAddsUpPerKeyModelAndDay) {
  {
    StateDatabase state(path());
    UsageStore store(state);
    ASSERT_TRUE(store.add({{"k1", "a", "2026-01-01", 1, 0, 10, 5}, {"k2", "a", "2026-01-01", 1, 1, 1, 0}}));
    ASSERT_TRUE(store.add({{"k1", "a", "2026-01-01", 2, 1, 20, 6}, {"k1", "a", "2026-01-02", 1, 0, 3, 3}}));
  }
  StateDatabase state(path());
  UsageStore store(state);
  const UsageRow first{"k1", "a", "2026-01-01", 3, 1, 30, 11};
  const UsageRow other{"k2", "a", "2026-01-01", 1, 1, 1, 0};
  const UsageRow later{"k1", "a", "2026-01-02", 1, 0, 3, 3};
  EXPECT_THAT(*store.usage({}), ElementsAre(first, other, later));
  EXPECT_THAT(*store.usage({.key_id = "k1"}), ElementsAre(first, later));
  EXPECT_THAT(*store.usage({.from = "2026-01-02"}), ElementsAre(later));
  EXPECT_THAT(*store.usage({.to = "2026-01-01"}), ElementsAre(first, other));
}

}  // namespace
}  // namespace switchyard::store
