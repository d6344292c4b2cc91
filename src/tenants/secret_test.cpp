#include "tenants/secret.h"

#include <gtest/gtest.h>

namespace switchyard::tenants {
namespace {

TEST(Secrets, AreHashedAsEverybodyHashes) {
  EXPECT_EQ(hash_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Secrets, AreLongAndNoTwoAreEqual) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string secret = new_secret();
    EXPECT_TRUE(secret.starts_with("sk-"));
    EXPECT_EQ(secret.size(), 3U + 64U);
    EXPECT_TRUE(seen.insert(secret).second);
    EXPECT_TRUE(seen.insert(new_key_id()).second);
  }
}

TEST(SecretSet, KnowsItsOwnAndNoOther) {
  const SecretSet set{"sk-one", "sk-two"};
  EXPECT_TRUE(set.contains("sk-one"));
  EXPECT_TRUE(set.contains("sk-two"));
  for (const char* other : {"", "sk-on", "sk-onE", "sk-one ", "sk-three"}) EXPECT_FALSE(set.contains(other));
  EXPECT_FALSE(set.contains(hash_of("sk-one"))) << "the hash opens nothing";
  EXPECT_TRUE(SecretSet().empty());
}

}  // namespace
}  // namespace switchyard::tenants
