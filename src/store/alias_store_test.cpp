#include "store/alias_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

namespace switchyard::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AliasStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "aliasesXXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
    path_ = dir_ / "state.sqlite";
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  static AliasRow chat(const std::string& target) {
    return {.name = "chat", .kind = "alias", .target = target, .defined = "", .considered = ""};
  }
  static SwitchRow line(const std::string& outcome) {
    SwitchRow row;
    row.alias = "chat";
    row.outcome = outcome;
    row.source = "m@1";
    row.target = "m@2";
    row.started = 5;
    return row;
  }

  std::filesystem::path dir_, path_;
};

TEST_F(AliasStoreTest, KeepsAliasesAndHistoryOverARestart) {
  {
    StateDatabase state(path_);
    AliasStore store(state);
    SwitchRow row = line("running");
    row.id = store.begin(row).value();
    row.outcome = "ok";
    row.phases = "admit=1 load=2";
    AliasRow alias = chat("m@2");
    alias.previous = {{"with blank@1", 7}, {"m@1", row.id}};
    alias.fallbacks = {"with blank", "m@1"};
    ASSERT_TRUE(store.move(alias, row, 0));
    ASSERT_TRUE(store.prove("m@1"));
    ASSERT_TRUE(store.prove("m@1"));
  }
  StateDatabase state(path_);
  AliasStore store(state);
  const auto aliases = store.aliases().value();
  ASSERT_EQ(aliases.size(), 1U);
  EXPECT_EQ(aliases[0].target, "m@2");
  EXPECT_THAT(aliases[0].previous, ElementsAre(PreviousRow{"with blank@1", 7}, PreviousRow{"m@1", 1}));
  EXPECT_THAT(aliases[0].fallbacks, ElementsAre("with blank", "m@1"));
  const auto history = store.history("chat", 10).value();
  ASSERT_EQ(history.size(), 1U);
  EXPECT_EQ(history[0].outcome, "ok");
  EXPECT_EQ(history[0].phases, "admit=1 load=2");
  EXPECT_THAT(store.proven().value(), ElementsAre("m@1"));
}

TEST_F(AliasStoreTest, AMoveIsAllOrNothing) {
  StateDatabase state(path_);
  AliasStore store(state);
  ASSERT_TRUE(store.put(chat("m@1")));
  SwitchRow row = line("running");
  row.id = store.begin(row).value();
  ASSERT_TRUE(state.with([](Database& database) {
    return database.execute(
        "CREATE TRIGGER no BEFORE UPDATE ON switches BEGIN SELECT RAISE(ABORT, 'disk full'); END");
  }));
  row.outcome = "ok";
  EXPECT_FALSE(store.move(chat("m@2"), row, 0));
  EXPECT_EQ(store.aliases().value()[0].target, "m@1");
}

TEST_F(AliasStoreTest, ARollbackMarksWhatItUndid) {
  StateDatabase state;
  AliasStore store(state);
  SwitchRow first = line("ok"), second = line("running");
  first.id = store.begin(first).value();
  second.id = store.begin(second).value();
  second.outcome = "ok";
  ASSERT_TRUE(store.move(chat("m@1"), second, first.id));
  const auto history = store.history("chat", 10).value();
  EXPECT_EQ(history[0].outcome, "ok");
  EXPECT_EQ(history[1].outcome, "rolled_back");
}

TEST_F(AliasStoreTest, HistoryHasABound) {
  StateDatabase state;
  AliasStore store(state);
  for (int i = 0; i < 1010; ++i) ASSERT_TRUE(store.begin(line("ok")));
  const auto history = store.history("chat", 5000).value();
  EXPECT_EQ(history.size(), 1000U);
  EXPECT_EQ(history.front().id, 1010);
}

TEST_F(AliasStoreTest, WhatAKilledServerLeftRunningHasFailed) {
  const pid_t child = fork();
  if (child == 0) {
    StateDatabase state(path_);
    AliasStore store(state);
    (void)store.put(chat("m@1"));
    (void)store.begin(line("running"));
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  StateDatabase state(path_);
  AliasStore store(state);
  EXPECT_EQ(store.aliases().value().size(), 1U);
  ASSERT_TRUE(store.end_interrupted(9));
  const auto history = store.history("chat", 10).value();
  ASSERT_EQ(history.size(), 1U);
  EXPECT_EQ(history[0].outcome, "failed");
  EXPECT_EQ(history[0].ended, 9);
}

TEST_F(AliasStoreTest, OneServerAFile) {
  StateDatabase first(path_);
  AliasStore one(first);
  ASSERT_TRUE(one.put(chat("m@1")));
  StateDatabase second(path_);
  AliasStore two(second);
  EXPECT_THAT(two.aliases().value(), IsEmpty());
  ASSERT_TRUE(two.put(chat("m@2")));
  EXPECT_EQ(one.aliases().value()[0].target, "m@1");
}

}  // namespace
}  // namespace switchyard::store
