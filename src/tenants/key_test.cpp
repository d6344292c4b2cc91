#include "tenants/key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard::tenants {
namespace {

using testing::ElementsAre;

TEST(Scopes, AdminHasTheOthersAndNoOtherHasMoreThanItself) {
  const auto has = [](Scopes scopes) {
    return std::vector<bool>{scopes.has(Scope::kInference), scopes.has(Scope::kRead),
                             scopes.has(Scope::kAdmin)};
  };
  EXPECT_THAT(has({}), ElementsAre(false, false, false));
  EXPECT_THAT(has({Scope::kInference}), ElementsAre(true, false, false));
  EXPECT_THAT(has({Scope::kRead}), ElementsAre(false, true, false));
  EXPECT_THAT(has({Scope::kAdmin}), ElementsAre(true, true, true));
  EXPECT_THAT((Scopes{Scope::kAdmin, Scope::kRead}).names(), ElementsAre("read", "admin"));
}

TEST(Scopes, AreReadFromTheirNames) {
  EXPECT_EQ(Scopes::parse({"read", "inference", "read"}).value(), (Scopes{Scope::kInference, Scope::kRead}));
  EXPECT_EQ(Scopes::parse({"root"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Scopes::parse({}).error().code, ErrorCode::kInvalidArgument);
}

TEST(Names, AKeyAsksForWhatItMay) {
  const KeySettings any;
  const auto is_alias = [](std::string_view name) { return name == "chat" || name == "c"; };
  EXPECT_EQ(name_for(any, "whatever@3", is_alias).value(), "whatever@3");
  const KeySettings some{.models = {"a", "b@2", "chat"}, .aliases = {{"mine", "c@1"}, {"chat", "a@1"}}};
  EXPECT_EQ(name_for(some, "a", is_alias).value(), "a");
  EXPECT_EQ(name_for(some, "a@7", is_alias).value(), "a@7") << "a model has its versions";
  EXPECT_EQ(name_for(some, "b@2", is_alias).value(), "b@2");
  EXPECT_EQ(name_for(some, "mine", is_alias).value(), "c@1") << "who made the alias has allowed it";
  EXPECT_EQ(name_for(some, "chat", is_alias).value(), "a@1") << "its own comes before the server's";
  for (const char* name : {"b", "b@1", "c", "c@1", "", "A", "a "})
    EXPECT_EQ(name_for(some, name, is_alias).error().code, ErrorCode::kPermissionDenied) << name;
  EXPECT_EQ(name_for(some, "a@latest", is_alias).value(), "a@latest") << "a version of the model";
  EXPECT_FALSE(name_for(some, "chat@stable", is_alias)) << "a name of its own has no labels";
  const KeySettings by_alias{.models = {"c"}};
  EXPECT_EQ(name_for(by_alias, "c", is_alias).value(), "c");
  for (const char* name : {"c@latest", "c@stable", "c@previous"})
    EXPECT_FALSE(name_for(by_alias, name, is_alias)) << name << " may be any version";
  const KeySettings by_label{.models = {"c@stable"}};
  EXPECT_EQ(name_for(by_label, "c@stable", is_alias).value(), "c@stable");
}

TEST(Settings, ThatCannotBeKeptAreRefused) {
  EXPECT_TRUE(check({}));
  EXPECT_TRUE(check({.key_alias = "Acme & Söhne", .models = {"a"}, .limits = {.rpm = 1}}));
  const std::vector<KeySettings> wrong = {{.key_alias = "two\nlines"},
                                          {.key_alias = std::string(300, 'x')},
                                          {.models = {""}},
                                          {.models = {"a\tb"}},
                                          {.aliases = {{"", "a"}}},
                                          {.aliases = {{"a", ""}}},
                                          {.limits = {.rpm = 0}},
                                          {.limits = {.tpm = 0}},
                                          {.limits = {.parallel = 0}},
                                          {.limits = {.tpm = ~0ULL}},
                                          {.metadata = std::string(20'000, 'x')}};
  for (const KeySettings& settings : wrong) {
    const Status status = check(settings);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace switchyard::tenants
