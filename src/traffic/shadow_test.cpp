#include "traffic/shadow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <limits>

#include "traffic/shadow_figures.h"

namespace switchyard::traffic {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

TEST(ShadowPlan, AFractionIsAboveZeroAndAtMostOne) {
  EXPECT_TRUE(check_plan({.fraction = 1}));
  EXPECT_TRUE(check_plan({.fraction = 1e-6}));
  for (const double wrong : {0.0, -0.1, 1.01, std::numeric_limits<double>::quiet_NaN()}) {
    const auto checked = check_plan({.fraction = wrong});
    ASSERT_FALSE(checked) << wrong;
    EXPECT_EQ(checked.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(checked.error().message, HasSubstr("stop the shadow")) << "says what to do";
  }
}

TEST(ShadowPlan, IsReadBackAsItWasWritten) {
  const ShadowPlan plan{.fraction = 0.123,
                        .similarity_model = "embedder@2",
                        .keep_replies = true,
                        .beside_users = true,
                        .max_tokens = 77};
  EXPECT_EQ(parse_shadow_plan(to_text(plan)), plan);
  EXPECT_EQ(parse_shadow_plan(to_text(ShadowPlan{})), ShadowPlan{});
}

TEST(IsShadowed, IsAsManyAsTheFractionSaysAndAlwaysTheSame) {
  int chosen = 0;
  for (int n = 0; n < 20000; ++n) chosen += is_shadowed("chat", "request-" + std::to_string(n), 0.1) ? 1 : 0;
  EXPECT_NEAR(chosen, 2000, 200);
  EXPECT_TRUE(is_shadowed("chat", "any", 1));
}

TEST(IsShadowed, WhoIsChosenStaysSoWhenTheFractionGrows) {
  EXPECT_TRUE(rc::check([](const std::string& alias, const std::string& id) {
    const double small = *rc::gen::inRange(0, 1001) / 1000.0;
    const double large = *rc::gen::inRange(0, 1001) / 1000.0;
    if (is_shadowed(alias, id, std::min(small, large)))
      RC_ASSERT(is_shadowed(alias, id, std::max(small, large)));
    RC_ASSERT(!is_shadowed(alias, id, 0));
    RC_ASSERT(is_shadowed(alias, id, 1));
  }));
}

TEST(Compare, EqualTextsAreExactWhateverElseDiffers) {
  const auto equal =
      compare({.text = "Grüße", .tokens = 4, .first_token = 10ms, .total = 1s},
              {.text = "Grüße", .tokens = 2, .first_token = 30ms, .total = 3s}, WantsJson::kNo);
  EXPECT_TRUE(equal.exact);
  EXPECT_EQ(equal.character_ratio, 1.0);
  EXPECT_EQ(equal.token_ratio, 0.5);
  EXPECT_FALSE(equal.expects_json);
  EXPECT_EQ(equal.copy_first_token, Duration(30ms));
}

TEST(Compare, LengthsAreCharactersAndAnEmptyReplyIsNoMeasure) {
  EXPECT_EQ(count_characters("Grüße"), 5U);
  const auto longer = compare({.text = "Grüße"}, {.text = "0123456789"}, WantsJson::kNo);
  EXPECT_FALSE(longer.exact);
  EXPECT_EQ(longer.character_ratio, 2.0);
  EXPECT_EQ(longer.token_ratio, std::nullopt) << "nobody counted";
  EXPECT_EQ(compare({.text = ""}, {.text = "a"}, WantsJson::kNo).character_ratio, std::nullopt);
  EXPECT_EQ(compare({.text = ""}, {.text = ""}, WantsJson::kNo).character_ratio, 1.0);
}

TEST(Compare, JsonIsExpectedWhereItWasAskedForOrGiven) {
  const auto asked = compare({.text = "no"}, {.text = "{}", .is_json = true}, WantsJson::kYes);
  EXPECT_TRUE(asked.expects_json);
  EXPECT_FALSE(asked.user_json);
  EXPECT_TRUE(asked.copy_json);
  EXPECT_TRUE(compare({.text = "{}", .is_json = true}, {.text = "no"}, WantsJson::kNo).expects_json);
  EXPECT_FALSE(compare({.text = "no"}, {.text = "{}", .is_json = true}, WantsJson::kNo).expects_json);
}

TEST(Cosine, IsThatOfTheAngle) {
  const std::vector<float> x{1, 0}, y{0, 2}, minus{-3, 0}, none{0, 0}, longer{1, 0, 0};
  EXPECT_DOUBLE_EQ(*cosine(x, x), 1);
  EXPECT_DOUBLE_EQ(*cosine(x, y), 0);
  EXPECT_DOUBLE_EQ(*cosine(x, minus), -1);
  EXPECT_EQ(cosine(x, none), std::nullopt) << "no direction";
  EXPECT_EQ(cosine(x, longer), std::nullopt) << "another model's";
  EXPECT_EQ(cosine({}, {}), std::nullopt);
  EXPECT_EQ(cosine(x, std::vector<float>{NAN, 1}), std::nullopt);
}

TEST(Cosine, IsSymmetricAndWithinItsBounds) {
  EXPECT_TRUE(rc::check([](const std::vector<std::pair<float, float>>& pairs) {
    std::vector<float> a, b;
    for (const auto& [x, y] : pairs) {
      a.push_back(x);
      b.push_back(y);
    }
    const auto value = cosine(a, b);
    RC_ASSERT(value == cosine(b, a));
    if (value) RC_ASSERT(*value >= -1 && *value <= 1);
  }));
}

TEST(ShadowFigures, CountWhatWasCompared) {
  ShadowFigures figures;
  ShadowComparison one =
      compare({.text = "{}", .is_json = true, .tokens = 2, .first_token = 10ms, .total = 1s},
              {.text = "{}", .is_json = true, .tokens = 4, .first_token = 30ms, .total = 2s}, WantsJson::kNo);
  one.similarity = 1;
  figures.add(one);
  ShadowComparison other = compare({.text = "ab", .total = 1s}, {.text = "c", .total = 2s}, WantsJson::kYes);
  other.no_similarity = "not_hot";
  figures.add(other);
  EXPECT_EQ(figures.compared, 2U);
  EXPECT_EQ(figures.exact, 1U);
  EXPECT_EQ(figures.character_ratio.value(), 0.75);
  EXPECT_EQ(figures.token_ratio.value(), 2.0) << "of those that were counted";
  EXPECT_EQ(figures.json_expected, 2U);
  EXPECT_EQ(figures.user_json, 1U);
  EXPECT_EQ(figures.copy_json, 1U);
  EXPECT_EQ(figures.similarity.value(), 1.0);
  EXPECT_EQ(figures.no_similarity.at("not_hot"), 1U);
  EXPECT_EQ(figures.user_first_token_ms.value(), 10.0);
  EXPECT_EQ(figures.copy_total_ms.value(), 2000.0);
  EXPECT_EQ(ShadowFigures{}.similarity.value(), std::nullopt);
}

TEST(ShadowFigures, AreReadBackAsTheyWereWritten) {
  EXPECT_TRUE(rc::check([](std::uint64_t compared, std::uint64_t exact, std::uint64_t n, double sum) {
    ShadowFigures figures;
    figures.compared = compared;
    figures.exact = exact;
    figures.character_ratio = {n, sum};
    figures.copy_total_ms = {n, sum / 3};
    figures.failed["no_room"] = n;
    figures.dropped["too_many"] = exact;
    figures.no_similarity["status_501"] = 1;
    RC_ASSERT(parse_shadow_figures(to_text(figures)) == figures);
  }));
  EXPECT_EQ(parse_shadow_figures(""), ShadowFigures{});
}

}  // namespace
}  // namespace switchyard::traffic
