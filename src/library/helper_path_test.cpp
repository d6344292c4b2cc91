#include "library/helper_path.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace switchyard::library {
namespace {

class HelperPathTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::string program(const std::string& name) {
    const auto file = root_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << "#!/bin/sh\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    return file.string();
  }
  const std::filesystem::path root_ =
      std::filesystem::path(testing::TempDir()) /
      (std::string("helper_path_") + testing::UnitTest::GetInstance()->current_test_info()->name());
  const std::string bin_ = (root_ / "app").string();
};

TEST_F(HelperPathTest, TheConfiguredOneOrNone) {
  const auto mine = program("elsewhere/switchyard");
  program("app/switchyard");
  EXPECT_EQ(find_helper(mine, bin_, "").value(), mine);
  EXPECT_EQ(find_helper("/nowhere/switchyard", bin_, "").error().code, ErrorCode::kInvalidArgument);
}

TEST_F(HelperPathTest, BesideTheProgramComesBeforePath) {
  const auto in_path = program("path/switchyard");
  const std::string path = "/nowhere::" + (root_ / "path").string();
  EXPECT_EQ(find_helper("", bin_, path).value(), in_path);
  const auto in_prefix = program("bin/switchyard");
  EXPECT_EQ(find_helper("", bin_, path).value(), in_prefix);
  const auto beside = program("app/switchyard");
  EXPECT_EQ(find_helper("", bin_, path).value(), beside);
}

TEST_F(HelperPathTest, WhatCannotBeRunIsPassedOver) {
  const auto file = program("path/switchyard");
  std::filesystem::permissions(file, std::filesystem::perms::owner_read);
  std::filesystem::create_directories(root_ / "app" / "switchyard");
  EXPECT_FALSE(find_helper("", bin_, (root_ / "path").string()).has_value());
}

}  // namespace
}  // namespace switchyard::library
