#include "store/state_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "store/resident_store.h"

namespace switchyard::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// The schema's version is counted; what is in it is not looked at.
constexpr std::array<std::string_view, 8> kAsMany = {};

class StateDatabaseTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "stateXXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = std::filesystem::path(name) / "data";
    std::filesystem::create_directory(dir_);
    path_ = dir_ / "state.sqlite";
  }
  void TearDown() override { std::filesystem::remove_all(dir_.parent_path()); }

  static Status put(StateDatabase& state, const std::string& version) {
    return ResidentStore(state).put({{.version = version, .residency = "hot"}});
  }
  /// What the next start finds.
  std::vector<ResidentRow> next_start() {
    StateDatabase state(path_);
    return ResidentStore(state).residents().value_or(std::vector<ResidentRow>());
  }
  std::filesystem::path dir_, path_;
};

TEST_F(StateDatabaseTest, AFileThatIsRemovedIsThereAgainAfterTheNextChange) {
  {
    StateDatabase state(path_);
    ASSERT_TRUE(put(state, "a@1"));
    // With and without what SQLite keeps beside it: old pages must not find their way into the new file.
    std::filesystem::remove(path_);
    ASSERT_TRUE(
        state.change([](Database& database) { return database.execute("INSERT INTO proven VALUES('x')"); }));
    EXPECT_TRUE(std::filesystem::exists(path_));
    EXPECT_THAT(*ResidentStore(state).residents(), ElementsAre(ResidentRow{"a@1", "hot"}))
        << "and what was in it";
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path_.string() + suffix);
    ASSERT_TRUE(put(state, "b@1"));
    EXPECT_FALSE(std::filesystem::exists(path_.string() + ".new"));
  }
  EXPECT_THAT(next_start(), ElementsAre(ResidentRow{"b@1", "hot"}));
}

TEST_F(StateDatabaseTest, TheWholeFolderMayBeRemoved) {
  {
    StateDatabase state(path_);
    ASSERT_TRUE(put(state, "a@1"));
    std::filesystem::remove_all(dir_);
    ASSERT_TRUE(put(state, "b@1"));
  }
  EXPECT_THAT(next_start(), ElementsAre(ResidentRow{"b@1", "hot"}));
}

TEST_F(StateDatabaseTest, WhereItCannotBeWrittenAnewChangesGoOnInMemory) {
  StateDatabase state(path_);
  ASSERT_TRUE(put(state, "a@1"));
  std::filesystem::remove_all(dir_);
  std::ofstream(dir_) << "a file in the folder's place";
  ASSERT_TRUE(put(state, "b@1"));
  EXPECT_THAT(*ResidentStore(state).residents(), ElementsAre(ResidentRow{"b@1", "hot"}));
}

TEST_F(StateDatabaseTest, ACopyInMemoryHasAllAndWritesNothing) {
  StateDatabase state(path_);
  ASSERT_TRUE(put(state, "a@1"));
  auto copy = Database::open_copy(path_, kAsMany);
  ASSERT_TRUE(copy) << copy.error().to_string();
  EXPECT_EQ(copy->path(), "");
  Statement query = copy->prepare("SELECT version FROM residents");
  ASSERT_TRUE(*query.step());
  EXPECT_EQ(query.text(0), "a@1") << "which is in the log of the file";
  EXPECT_TRUE(copy->execute("DELETE FROM residents"));
  EXPECT_THAT(*ResidentStore(state).residents(), ElementsAre(ResidentRow{"a@1", "hot"}));
  EXPECT_FALSE(Database::open_copy(path_.string() + ".none", kAsMany));
}

TEST_F(StateDatabaseTest, AnErrorNamesTheFileAndWhatToDo) {
  StateDatabase state(path_);
  ASSERT_TRUE(put(state, "a@1"));
  auto other = Database::open(path_, {});
  EXPECT_FALSE(other) << "its schema is later than none";
  other = Database::open(path_, kAsMany);
  ASSERT_TRUE(other);
  ASSERT_TRUE(other->execute("BEGIN IMMEDIATE"));
  const Status refused = put(state, "b@1");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr(path_.string()));
  EXPECT_THAT(refused.error().message, HasSubstr("another process holds it"));
  ASSERT_TRUE(other->execute("ROLLBACK"));
  EXPECT_TRUE(put(state, "b@1"));
}

}  // namespace
}  // namespace switchyard::store
