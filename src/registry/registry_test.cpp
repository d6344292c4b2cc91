#include "registry/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <thread>

#include "models/fake_engine.h"

namespace switchyard::registry {
namespace {

using models::VersionRef;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

engine::ModelSpec spec(const std::string& version, const std::string& stamp,
                       const std::string& file = "/m.gguf") {
  return {.model = "m",
          .version = version,
          .reply_name = "m",
          .args = {{"model", file}},
          .sha256 = {},
          .file_stamp = stamp};
}

models::ModelDefinition model(std::vector<engine::ModelSpec> versions, const std::string& source = "config") {
  models::ModelDefinition model;
  model.id = "m";
  model.source = source;
  model.versions = std::move(versions);
  return model;
}

/// A registry that forgets nothing between merges, and a world that does what it is told.
class MergeTest : public ::testing::Test {
 protected:
  Merged merge_now(const std::vector<engine::ModelSpec>& versions, const std::string& source = "config") {
    Merged merged =
        merge({model(versions, source)}, rows_,
              {.in_memory = [this](const VersionRef& ref) { return in_memory_.contains(ref.version); },
               .stamp_of = [this](const std::string& path) { return stamps_[path]; },
               .now = 7});
    for (store::VersionRow row : merged.rows) {
      if (row.id == 0) {
        row.id = static_cast<std::int64_t>(rows_.size()) + 1;
        rows_.push_back(row);
      } else {
        rows_[static_cast<std::size_t>(row.id) - 1] = row;
      }
    }
    return merged;
  }
  static std::vector<std::string> names(const Merged& merged) {
    std::vector<std::string> all;
    for (const auto& version : merged.models.at(0).versions) all.push_back(version.version);
    return all;
  }

  std::vector<store::VersionRow> rows_;
  std::set<std::string> in_memory_;
  std::map<std::string, std::string> stamps_;
};

TEST_F(MergeTest, WhatIsConfiguredIsRegisteredOnce) {
  EXPECT_THAT(names(merge_now({spec("1", "s1"), spec("2", "s2")})), ElementsAre("1", "2"));
  ASSERT_EQ(rows_.size(), 2U);
  EXPECT_EQ(rows_[0].added_by, "config");
  EXPECT_EQ(rows_[0].added, 7);
  const Merged again = merge_now({spec("1", "s1"), spec("2", "s2")});
  EXPECT_THAT(again.rows, IsEmpty());
  EXPECT_THAT(again.successors, IsEmpty());
}

TEST_F(MergeTest, AFileOfTheModelsFolderIsVersionOne) {
  EXPECT_THAT(names(merge_now({spec("1", "s1")}, "models_dir")), ElementsAre("1"));
  EXPECT_EQ(rows_[0].added_by, "models-dir");
}

TEST_F(MergeTest, AReplacedFileIsANewVersionAndTheOldEngineGoesOn) {
  merge_now({spec("1", "s1")});
  in_memory_ = {"1"};
  const Merged replaced = merge_now({spec("1", "s2")});
  EXPECT_THAT(names(replaced), ElementsAre("1", "2"));
  EXPECT_EQ(replaced.models[0].versions[0].file_stamp, "s1")
      << "the spec of the running engine is not touched";
  EXPECT_EQ(replaced.models[0].versions[1].file_stamp, "s2");
  EXPECT_THAT(replaced.successors, ElementsAre(Pair(VersionRef{"m", "1"}, VersionRef{"m", "2"})));
  EXPECT_THAT(replaced.means, ElementsAre(Pair(VersionRef{"m", "1"}, VersionRef{"m", "2"})));
  in_memory_ = {};
  EXPECT_THAT(names(merge_now({spec("1", "s2")})), ElementsAre("2")) << "its file is gone for good";
  in_memory_ = {"2"};
  EXPECT_THAT(names(merge_now({spec("1", "s3")})), ElementsAre("2", "3"));
}

TEST_F(MergeTest, ANewNameIsNotOneThatTheConfigHas) {
  merge_now({spec("1", "a1", "/a"), spec("2", "b1", "/b")});
  EXPECT_THAT(names(merge_now({spec("1", "a2", "/a"), spec("2", "b1", "/b")})), ElementsAre("3", "2"));
}

TEST_F(MergeTest, AMissingFileIsNoNewVersion) {
  merge_now({spec("1", "s1")});
  EXPECT_THAT(names(merge_now({spec("1", "")})), ElementsAre("1"));
  EXPECT_THAT(names(merge_now({spec("1", "s1")})), ElementsAre("1"));
}

TEST_F(MergeTest, OtherArgumentsAreTheSameVersionDefinedAnew) {
  merge_now({spec("1", "s1")});
  engine::ModelSpec changed = spec("1", "s1");
  changed.args["ctx-size"] = "512";
  EXPECT_THAT(names(merge_now({changed})), ElementsAre("1"));
  EXPECT_EQ(rows_[0].args.at("ctx-size"), "512");
}

TEST_F(MergeTest, VersionsAddedByCallsComeAfterTheConfiguredOnes) {
  merge_now({spec("1", "s1")});
  rows_.push_back({.id = 2,
                   .model = "m",
                   .version = "tuned",
                   .origin = {},
                   .args = {{"model", "/t.gguf"}},
                   .stamp = "t1",
                   .sha256 = {},
                   .notes = {},
                   .added_by = "api",
                   .added = 1});
  stamps_["/t.gguf"] = "t1";
  EXPECT_THAT(names(merge_now({spec("1", "s1")})), ElementsAre("1", "tuned"));
  stamps_["/t.gguf"] = "t2";
  EXPECT_THAT(names(merge_now({spec("1", "s1")})), ElementsAre("1")) << "another file is not this version";
  in_memory_ = {"tuned"};
  EXPECT_THAT(names(merge_now({spec("1", "s1")})), ElementsAre("1", "tuned"));
}

TEST(Numbers, TheNextOneIsFree) {
  EXPECT_EQ(next_number({}), "1");
  EXPECT_EQ(next_number({"1", "3", "beta", "2b"}), "4");
}

class RegistryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "registryXXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
    write("hello");
    models::Limits limits;
    limits.memory_budget = ByteSize::gib(1);
    manager_.emplace(
        models::Manager::Dependencies{.loader = loader_, .executor = executor_, .events = events_}, limits);
    registry_.emplace(state_);
  }
  void TearDown() override {
    registry_.reset();
    manager_.reset();
    std::filesystem::remove_all(dir_);
  }
  void write(const std::string& text) {
    std::ofstream(dir_ / "new") << text;
    std::filesystem::rename(dir_ / "new", file());
  }
  [[nodiscard]] std::string file() const { return dir_ / "m.gguf"; }
  [[nodiscard]] engine::ModelSpec now(const std::string& version) const {
    return spec(version, file_stamp(file()), file());
  }
  Merged apply() { return registry_->apply({model({now("1")})}, *manager_).value(); }
  std::string hash_of(const std::string& version) {
    for (;;) {
      const VersionInfo info = registry_->describe({"m", version}).value();
      if (!info.sha256.empty()) return info.sha256;
      std::this_thread::yield();
    }
  }

  std::filesystem::path dir_;
  store::StateDatabase state_;
  models::testing::FakeWorld world_;
  models::testing::FakeLoader loader_{world_};
  ThreadPool executor_{"test", 4};
  telemetry::EventBus events_;
  std::optional<models::Manager> manager_;
  std::optional<Registry> registry_;
};

TEST_F(RegistryTest, HashesComeInTheBackgroundAndStay) {
  apply();
  const std::string hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
  EXPECT_EQ(hash_of("1"), hello);
  write("other");
  EXPECT_EQ(apply().models[0].versions.back().version, "2");
  EXPECT_EQ(hash_of("2"), "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa");
  EXPECT_EQ(hash_of("1"), hello);
  registry_.emplace(state_);  // as after a restart
  EXPECT_EQ(registry_->describe({"m", "2"})->added_by, "config");
}

TEST_F(RegistryTest, AddsDescribesAndRemoves) {
  apply();
  engine::ModelSpec added = now("");
  EXPECT_EQ(registry_->add(added, "a note", "me")->version, "2");
  EXPECT_EQ(registry_->describe({"m", "2"})->notes, "a note");
  added.version = "2";
  EXPECT_EQ(registry_->add(added, "", "me").error().code, ErrorCode::kConflict);
  EXPECT_EQ(apply().models[0].versions.size(), 2U);
  EXPECT_EQ(registry_->remove({"m", "1"}).error().code, ErrorCode::kConflict) << "the config has it";
  EXPECT_EQ(registry_->remove({"m", "9"}).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(registry_->remove({"m", "2"}));
  EXPECT_EQ(apply().models[0].versions.size(), 1U);
}

TEST_F(RegistryTest, AReplacedFileIsNeverTakenForTheOldVersion) {
  apply();
  const engine::ModelSpec old = now("1");
  const auto guarded = guard_loader(loader_, *registry_);
  EXPECT_TRUE(guarded->inspect(old, {}, {}));
  write("other");
  apply();
  EXPECT_EQ(guarded->inspect(old, {}, {}).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(guarded->inspect(now("2"), {}, {}));
  EXPECT_EQ(registry_->describe({"m", "1"})->replaced_by, (VersionRef{"m", "2"}));
  EXPECT_TRUE(registry_->remove({"m", "1"})) << "nothing has it any more";
}

}  // namespace
}  // namespace switchyard::registry
