#include "telemetry/log.h"

#include <gtest/gtest.h>

namespace switchyard::telemetry {
namespace {

const LogFields kFields{{"model", "a@1"}, {"tokens", std::uint64_t{12}}, {"total_ms", 1.23456}};

TEST(Log, TextHasFieldsBehindTheWords) {
  EXPECT_EQ(format_line(LogFormat::kText, "T", LogLevel::kInfo, "request", "done\n", kFields),
            "T INFO  request: done model=a@1 tokens=12 total_ms=1.235");
  EXPECT_EQ(format_line(LogFormat::kText, "T", LogLevel::kWarning, "x", "", {{"path", "/a b\"=\n"}}),
            "T WARN  x: path=\"/a b\\\"=\\n\"");
}

TEST(Log, ALineCannotPassForAnother) {
  EXPECT_EQ(format_line(LogFormat::kText, "T", LogLevel::kInfo, "x", "a\nT ERROR x: forged", {}),
            "T INFO  x: a\n    T ERROR x: forged");
  const auto json = format_line(LogFormat::kJson, "T", LogLevel::kInfo, "x", "a\nb", {{"f", "c\nd"}});
  EXPECT_EQ(json.find('\n'), std::string::npos);
}

TEST(Log, JsonIsAnObjectALine) {
  EXPECT_EQ(format_line(LogFormat::kJson, "T", LogLevel::kError, "models", "it's \"so\"", kFields),
            R"({"time":"T","level":"error","component":"models","message":"it's \"so\"","model":"a@1",)"
            R"("tokens":12,"total_ms":1.235})");
  EXPECT_EQ(format_line(LogFormat::kJson, "T", LogLevel::kDebug, "x", "\xff", {}),
            "{\"time\":\"T\",\"level\":\"debug\",\"component\":\"x\",\"message\":\"\xef\xbf\xbd\"}");
}

}  // namespace
}  // namespace switchyard::telemetry
