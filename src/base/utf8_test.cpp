#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace switchyard {
namespace {

TEST(Utf8, TellsItFromOtherBytes) {
  for (const char* good : {"", "plain", "gr\xc3\xb6\xc3\x9f", "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x98\x80",
                           "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* bad : {"\xff\xfe", "a\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                          "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe6\x97"})
    EXPECT_FALSE(is_utf8(bad)) << testing::PrintToString(std::string(bad));
}

TEST(Utf8, WhatIsNoneIsReplaced) {
  EXPECT_EQ(to_utf8("caf\xe9.gguf"), "caf\xef\xbf\xbd.gguf");
  EXPECT_EQ(to_utf8("gr\xc3\xb6\xc3"), "gr\xc3\xb6\xef\xbf\xbd");
  EXPECT_EQ(to_utf8(""), "");
}

}  // namespace
}  // namespace switchyard
