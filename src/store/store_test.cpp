#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <thread>

#include "store/inspection_cache.h"

namespace switchyard::store {
namespace {

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "storeXXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
    path_ = dir_ / "cache.sqlite";
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  int files_with(const std::string& part) const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(dir_)) {
      if (entry.path().filename().string().find(part) != std::string::npos) ++count;
    }
    return count;
  }
  std::filesystem::path dir_;
  std::filesystem::path path_;
};

TEST_F(StoreTest, KeepsWhatWasPutOverARestart) {
  {
    InspectionCache cache(path_);
    EXPECT_EQ(cache.get("a"), std::nullopt);
    cache.put("a", "1");
    cache.put("a", std::string("2\0'\"", 4));
  }
  InspectionCache cache(path_);
  EXPECT_EQ(cache.get("a"), std::string("2\0'\"", 4));
  EXPECT_EQ(cache.size(), 1U);
}

TEST_F(StoreTest, LeastRecentlyUsedGoesFirst) {
  InspectionCache cache(path_, 2);
  cache.put("a", "1");
  cache.put("b", "2");
  EXPECT_EQ(cache.get("a"), "1");  // now b is the oldest
  cache.put("c", "3");
  EXPECT_EQ(cache.size(), 2U);
  EXPECT_EQ(cache.get("b"), std::nullopt);
  EXPECT_EQ(cache.get("a"), "1");
  EXPECT_EQ(cache.get("c"), "3");
}

TEST_F(StoreTest, SurvivesAKill) {
  const pid_t child = fork();
  if (child == 0) {
    InspectionCache cache(path_);
    for (int i = 0; i < 50; ++i) cache.put(std::to_string(i), "value");
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  InspectionCache cache(path_);
  EXPECT_EQ(cache.size(), 50U);
  EXPECT_EQ(files_with(".corrupt-"), 0);
}

TEST_F(StoreTest, ADamagedFileIsMovedAside) {
  std::ofstream(path_) << std::string(8192, 'x');
  {
    InspectionCache cache(path_);
    cache.put("a", "1");
    EXPECT_EQ(cache.get("a"), "1");
  }
  EXPECT_EQ(files_with(".corrupt-"), 1);
  InspectionCache again(path_);
  EXPECT_EQ(again.get("a"), "1");
}

TEST_F(StoreTest, ADamagedPageIsFound) {
  {
    InspectionCache cache(path_);
    for (int i = 0; i < 500; ++i) cache.put(std::to_string(i), std::string(200, 'v'));
  }
  std::filesystem::remove(path_.string() + "-wal");
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(8192, '\xff');
  }
  InspectionCache cache(path_);
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_EQ(files_with(".corrupt-"), 1);
}

TEST_F(StoreTest, ALaterSchemaIsMovedAside) {
  constexpr std::array<std::string_view, 3> kLater = {"CREATE TABLE x(a)", "SELECT 1", "SELECT 1"};
  ASSERT_TRUE(Database::open(path_, kLater));
  InspectionCache cache(path_);
  cache.put("a", "1");
  EXPECT_EQ(cache.get("a"), "1");
  EXPECT_EQ(files_with(".corrupt-"), 1);
}

TEST_F(StoreTest, AFailedMigrationChangesNothing) {
  constexpr std::array<std::string_view, 1> kFirst = {"CREATE TABLE x(a)"};
  constexpr std::array<std::string_view, 2> kBroken = {"CREATE TABLE x(a)", "CREATE TABLE y(a); nonsense"};
  ASSERT_TRUE(Database::open(path_, kFirst));
  EXPECT_FALSE(Database::open(path_, kBroken));
  auto database = Database::open(path_, kFirst);
  ASSERT_TRUE(database);
  EXPECT_TRUE(database->execute("INSERT INTO x VALUES(1)"));
  EXPECT_FALSE(database->execute("INSERT INTO y VALUES(1)"));
}

TEST_F(StoreTest, WorksInMemoryWhenThePathCannotBeUsed) {
  for (const std::string& path :
       {std::string(), std::string(":memory:"), dir_.string() + "/none/cache.sqlite"}) {
    InspectionCache cache(path);
    cache.put("a", "1");
    EXPECT_EQ(cache.get("a"), "1") << path;
  }
}

TEST_F(StoreTest, ManyThreadsAndTwoConnections) {
  InspectionCache cache(path_, 1000);
  InspectionCache other(path_, 1000);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        (t % 2 ? cache : other).put(std::to_string(t * 100 + i), "v");
        EXPECT_EQ(cache.get(std::to_string(t * 100 + i)), "v");
      }
    });
  }
  threads.clear();
  EXPECT_EQ(cache.size(), 100U);
}

}  // namespace
}  // namespace switchyard::store
