#include "gateway/stream_owners.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const models::VersionRef kA{"a", "1"}, kB{"b", "1"};

TEST(StreamOwners, EachVersionHasItsOwnKeyAndTheNewestIsAsked) {
  EXPECT_NE(stream_key(kA, "c"), stream_key(kB, "c"));
  EXPECT_EQ(conversation_of(stream_key(kA, "c::x")), "c::x");
  EXPECT_EQ(conversation_of("plain"), "plain");
  StreamOwners owners;
  EXPECT_EQ(owners.newest_key("c"), "c");
  owners.add("c", kA);
  owners.add("c", kB);
  EXPECT_EQ(owners.newest_key("c"), stream_key(kB, "c"));
  owners.add("c", kA);
  EXPECT_THAT(owners.of("c"), ElementsAre(kA, kB));
  owners.forget("c");
  EXPECT_THAT(owners.of("c"), IsEmpty());
}

TEST(StreamOwners, ALookUpFindsAConversationAndItsVariants) {
  StreamOwners owners;
  owners.add("c", kA);
  owners.add("c::one", kA);
  owners.add("c::two", kB);
  owners.add("c2", {"other", "1"});
  EXPECT_THAT(owners.keys_to_look_up("c"), ElementsAre(stream_key(kA, "c"), stream_key(kB, "c")));
  EXPECT_THAT(owners.keys_to_look_up("c::one"), ElementsAre(stream_key(kA, "c::one")));
  EXPECT_THAT(owners.keys_to_look_up("x"), IsEmpty());
}

TEST(StreamOwners, TheConversationsLastUsedAreKnown) {
  StreamOwners owners;
  owners.add("first", kA);
  owners.add("second", kA);
  for (int i = 0; i < 9'999; ++i) {
    if (i == 5'000) owners.add("first", kB);
    owners.add(std::to_string(i), kA);
  }
  EXPECT_THAT(owners.of("first"), ElementsAre(kB, kA));
  EXPECT_THAT(owners.of("second"), IsEmpty());
}

}  // namespace
}  // namespace switchyard::gateway
