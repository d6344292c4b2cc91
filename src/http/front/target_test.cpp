#include "http/front/target.h"

#include <gtest/gtest.h>

namespace switchyard::http {
namespace {

TEST(Target, SplitsAndDecodes) {
  const auto target = parse_target("/v1/models/a%2Fb%20c+d?model=x%2Fy+z&flag&=dropped&n=1#gone");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/v1/models/a/b c+d");
  EXPECT_EQ(target->raw_path, "/v1/models/a%2Fb%20c+d");
  EXPECT_EQ(target->raw_query, "model=x%2Fy+z&flag&=dropped&n=1");
  ASSERT_EQ(target->query.size(), 3U);
  EXPECT_EQ(target->query.find("model")->second, "x/y z");
  EXPECT_EQ(target->query.find("flag")->second, "");
  EXPECT_EQ(target->query.find("n")->second, "1");
}

TEST(Target, TakesTheFormsOfProxiesAndOptions) {
  EXPECT_EQ(parse_target("http://host:1/p?q=1")->path, "/p");
  EXPECT_EQ(parse_target("http://host")->path, "/");
  EXPECT_EQ(parse_target("http://host?q=1")->path, "/");
  EXPECT_EQ(parse_target("*")->path, "*");
  EXPECT_EQ(parse_target("/a/../b")->path, "/a/../b") << "paths are names here, and not tidied";
}

TEST(Target, RefusesWhatIsNoPath) {
  for (const std::string_view bad : {"", "models", "host:80", "/a%", "/a%4", "/a%zz", "/a%00b", "/a%0d%0ab",
                                     "/a%7f", "/a?b=%00", "/a%u0041"}) {
    const auto target = parse_target(bad);
    ASSERT_FALSE(target) << bad;
    EXPECT_EQ(target.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_FALSE(parse_target(std::string_view("/a\0b", 4)));
}

TEST(Target, KeepsABrokenEscapeOfAQueryAsItIs) {
  const auto query = parse_query("a=100%&b=%zz&c=%41&d=%4");
  EXPECT_EQ(query.find("a")->second, "100%");
  EXPECT_EQ(query.find("b")->second, "%zz");
  EXPECT_EQ(query.find("c")->second, "A");
  EXPECT_EQ(query.find("d")->second, "%4");
  EXPECT_EQ(parse_query("x=1&x=2").count("x"), 2U);
  EXPECT_EQ(parse_query("x=a=b").find("x")->second, "a=b");
}

}  // namespace
}  // namespace switchyard::http
