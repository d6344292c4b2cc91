#include "tenants/keyring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tenants/secret.h"

namespace switchyard::tenants {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> names(const Keyring& ring) {
  std::vector<std::string> names;
  for (const KeyPtr& key : ring.keys()) names.push_back(name_of(*key));
  return names;
}

class KeyringTest : public testing::Test {
 protected:
  Keyring make() {
    return Keyring(store::KeyStore(state_), [this] { return now_; });
  }
  std::string add(const KeySettings& settings, AdminKey admin = AdminKey::kNone) {
    const auto created = ring_.create(settings, admin);
    EXPECT_TRUE(created) << created.error().to_string();
    return created ? created->key.secret : "";
  }
  ErrorCode refused(const std::string& secret) {
    const auto key = ring_.authenticate(secret);
    EXPECT_FALSE(key);
    return key ? ErrorCode::kInternal : key.error().code;
  }

  WallTime now_{std::chrono::hours(24 * 365 * 56)};
  store::StateDatabase state_;
  Keyring ring_ = make();
};

TEST_F(KeyringTest, AKeyIsKnownFromItsCreationOn) {
  EXPECT_TRUE(ring_.is_open());
  const std::string secret = add({.key_alias = "acme", .models = {"a"}});
  EXPECT_FALSE(ring_.is_open());
  const auto key = ring_.authenticate(secret);
  ASSERT_TRUE(key);
  EXPECT_EQ((*key)->settings.key_alias, "acme");
  EXPECT_EQ((*key)->created, now_);
  for (const std::string& other : {std::string(), std::string("sk-"), secret + "0", secret.substr(1)})
    EXPECT_EQ(refused(other), ErrorCode::kUnauthenticated);
}

TEST_F(KeyringTest, TheSecretIsNowhere) {
  std::string name = testing::TempDir() + "ringXXXXXX";
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  std::string secret;
  {
    store::StateDatabase state(name + "/state.sqlite");
    Keyring ring{store::KeyStore(state)};
    secret = ring.create({.key_alias = "findme"}, AdminKey::kNone)->key.secret;
  }
  std::string all;
  for (const auto& entry : std::filesystem::directory_iterator(name)) {
    std::ifstream file(entry.path(), std::ios::binary);
    all.append(std::istreambuf_iterator<char>(file), {});
  }
  EXPECT_THAT(all, HasSubstr("findme"));
  EXPECT_THAT(all, HasSubstr(hash_of(secret)));
  EXPECT_THAT(all, Not(HasSubstr(secret)));
  EXPECT_THAT(all, Not(HasSubstr(secret.substr(3))));
  std::filesystem::remove_all(name);
}

TEST_F(KeyringTest, EverythingIsThereAfterARestart) {
  KeySettings settings{.key_alias = "acme",
                       .scopes = {Scope::kInference, Scope::kRead},
                       .models = {"a", "b@2"},
                       .aliases = {{"chat", "a@1"}},
                       .limits = {.rpm = 3, .tpm = 100, .parallel = 2},
                       .metadata = R"({"team":1})"};
  settings.expires = now_ + std::chrono::hours(1);
  const std::string secret = add(settings);
  const std::string gone = add({.key_alias = "gone"});
  ASSERT_TRUE(ring_.revoke("gone"));
  ASSERT_TRUE(ring_.update("acme", {.blocked = false}));
  Keyring again = make();
  ASSERT_TRUE(again.load());
  EXPECT_THAT(names(again), ElementsAre("acme"));
  const auto key = again.authenticate(secret);
  ASSERT_TRUE(key);
  EXPECT_EQ((*key)->settings, settings);
  EXPECT_FALSE(again.authenticate(gone));
  ASSERT_TRUE(again.revoke("acme"));
  Keyring once_more = make();
  ASSERT_TRUE(once_more.load());
  EXPECT_FALSE(once_more.is_open()) << "revoking the last key opens nothing";
}

TEST_F(KeyringTest, AChangeHoldsForTheNextLook) {
  const std::string secret = add({.key_alias = "acme"});
  ASSERT_TRUE(ring_.update("acme", {.blocked = true}));
  EXPECT_EQ(refused(secret), ErrorCode::kPermissionDenied);
  ASSERT_TRUE(ring_.update("acme", {.blocked = false}));
  EXPECT_TRUE(ring_.authenticate(secret));
  ASSERT_TRUE(ring_.update("acme", {.expires = std::optional(now_ + std::chrono::minutes(1))}));
  EXPECT_TRUE(ring_.authenticate(secret));
  now_ += std::chrono::minutes(1);
  EXPECT_EQ(refused(secret), ErrorCode::kUnauthenticated);
  ASSERT_TRUE(ring_.update("acme", {.expires = std::optional(WallTime())}));  // the epoch is not "never"
  Keyring again = make();
  ASSERT_TRUE(again.load());
  EXPECT_FALSE(again.authenticate(secret));
  ASSERT_TRUE(ring_.update("acme", {.expires = std::optional<WallTime>()}));
  EXPECT_TRUE(ring_.authenticate(secret));
  const auto rotated = ring_.rotate("acme");
  ASSERT_TRUE(rotated);
  EXPECT_EQ(refused(secret), ErrorCode::kUnauthenticated) << "the old secret is dead at once";
  EXPECT_EQ(ring_.authenticate(rotated->secret).value()->id, rotated->key->id);
  ASSERT_TRUE(ring_.revoke(rotated->key->id));
  EXPECT_EQ(refused(rotated->secret), ErrorCode::kUnauthenticated);
  EXPECT_EQ(ring_.name_of_id(rotated->key->id), "acme") << "its usage is still called by it";
}

TEST_F(KeyringTest, NamesAreOfOneLiveKey) {
  add({.key_alias = "acme"});
  add({});
  add({});
  EXPECT_EQ(ring_.create({.key_alias = "acme"}, AdminKey::kNone).error().code, ErrorCode::kConflict);
  add({.key_alias = "other"});
  EXPECT_EQ(ring_.update("other", {.key_alias = "acme"}).error().code, ErrorCode::kConflict);
  EXPECT_TRUE(ring_.update("acme", {.key_alias = "acme"}));
  ASSERT_TRUE(ring_.revoke("acme"));
  EXPECT_TRUE(ring_.create({.key_alias = "acme"}, AdminKey::kNone));
  EXPECT_EQ(ring_.find("").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(ring_.rotate("nobody").error().code, ErrorCode::kNotFound);
}

TEST_F(KeyringTest, TheFirstKeyLocksNobodyOut) {
  const auto first = ring_.create({.key_alias = "acme"}, AdminKey::kBesideTheFirst);
  ASSERT_TRUE(first && first->admin);
  EXPECT_TRUE(ring_.authenticate(first->admin->secret).value()->settings.scopes.has(Scope::kAdmin));
  EXPECT_THAT(names(ring_), ElementsAre("acme", "admin"));
  EXPECT_FALSE(ring_.create({.key_alias = "next"}, AdminKey::kBesideTheFirst)->admin);
}

TEST_F(KeyringTest, OneThatIsClosedAsksForKeysItDoesNotHave) {
  ring_.close();
  EXPECT_FALSE(ring_.is_open());
  EXPECT_FALSE(ring_.create({}, AdminKey::kBesideTheFirst)->admin) << "its caller has a key already";
}

TEST_F(KeyringTest, AnAdministratorsKeyNeedsNoOtherBesideIt) {
  EXPECT_FALSE(ring_.create({.scopes = {Scope::kAdmin}}, AdminKey::kBesideTheFirst)->admin);
}

TEST_F(KeyringTest, WrongSettingsChangeNothing) {
  const std::string secret = add({.key_alias = "acme"});
  EXPECT_EQ(ring_.create({.expires = now_}, AdminKey::kNone).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ring_.create({.models = {""}}, AdminKey::kNone).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ring_.update("acme", {.rpm = std::optional<std::uint64_t>(0)}).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(ring_.authenticate(secret).value()->settings, (KeySettings{.key_alias = "acme"}));
}

TEST_F(KeyringTest, WhatCannotBeWrittenHasNotChanged) {
  const std::string secret = add({.key_alias = "acme"});
  ASSERT_TRUE(state_.with([](auto& database) { return database.execute("PRAGMA query_only=1"); }));
  EXPECT_EQ(ring_.revoke("acme").error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(ring_.create({.key_alias = "new"}, AdminKey::kNone).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(ring_.authenticate(secret));
  EXPECT_THAT(names(ring_), ElementsAre("acme"));
  ASSERT_TRUE(state_.with([](auto& database) { return database.execute("PRAGMA query_only=0"); }));
}

}  // namespace
}  // namespace switchyard::tenants
