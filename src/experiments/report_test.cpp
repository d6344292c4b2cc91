#include "experiments/report.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "experiments/label.h"

namespace switchyard::experiments {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Report report_of(int pairs, double variant_seconds) {
  Trial trial{.serial = 1,
              .definition = {.id = "x",
                             .alias = "chat",
                             .arms = {{"a@1", 50}, {"=a<&>@2", 50}},
                             .guardrails = {{.metric = Metric::kErrorRate}}}};
  for (int i = 0; i < pairs; ++i) {
    for (const std::size_t arm : {0U, 1U}) {
      trial.tally.add_request(arm, "/v1", true);
      trial.tally.add(arm, "/v1", Metric::kLatency, (arm == 0 ? 1 : variant_seconds) * (i % 2 ? 1.2 : 0.8));
    }
    const Verdict verdict = decide(trial.definition, trial.tally.whole());
    for (const TrailPoint& point : next_points(trial, verdict)) trial.trail.push_back(point);
  }
  Verdict verdict = decide(trial.definition, trial.tally.whole());
  return {.trial = std::make_shared<const Trial>(std::move(trial)), .verdict = std::move(verdict)};
}

TEST(Report, HasTheWholeAndTheSegments) {
  const std::vector<ReportRow> rows = rows_of(report_of(200, 0.5));
  ASSERT_EQ(rows.size(), 6U) << "two arms: latency and error rate, and latency of the segment";
  EXPECT_EQ(rows[1].role, Role::kPrimary);
  EXPECT_EQ(rows[1].observations, 200);
  EXPECT_NEAR(rows[1].mean, 0.5 * std::sqrt(0.96), 1e-9);
  EXPECT_EQ(rows[1].comparison->side, Side::kBetter);
  EXPECT_FALSE(rows[0].comparison) << "the control";
  EXPECT_EQ(rows[2].role, Role::kGuardrail);
  EXPECT_EQ(rows[5].segment, "/v1");
}

TEST(Report, CsvIsOneLineForEachRow) {
  const std::string csv = csv_of(report_of(200, 0.5));
  EXPECT_THAT(csv, StartsWith("experiment,segment,version,"));
  EXPECT_EQ(std::ranges::count(csv, '\n'), 7);
  EXPECT_THAT(csv, HasSubstr("x,,'=a<&>@2,variant,50,200,200,latency,primary,200,0.489897949,-0.5,"));
  EXPECT_THAT(csv, HasSubstr("error_rate,guardrail,0,,,,,"));
  EXPECT_THAT(csv, Not(HasSubstr("inf")));
}

TEST(Report, ThePlotHasTheSequenceZeroAndTheVerdict) {
  const Report report = report_of(200, 0.5);
  const Plot plot = plot_of(report);
  ASSERT_EQ(plot.series.size(), 1U);
  EXPECT_GT(plot.series[0].band.size(), 20U);
  EXPECT_NEAR(plot.series[0].line.back().y, -0.5, 1e-9);
  EXPECT_LT(plot.series[0].band.back().upper, 0);
  EXPECT_EQ(plot.marks[0].y, 0);
  const std::string svg = svg_of(plot);
  EXPECT_THAT(svg, HasSubstr("x: Verdict: promote =a&lt;&amp;&gt;@2"));
  EXPECT_THAT(svg, HasSubstr("no difference"));
  EXPECT_THAT(svg, HasSubstr("<polygon"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(Report, OfNothingIsReadable) {
  const Report report = report_of(0, 1);
  EXPECT_THAT(svg_of(plot_of(report)), HasSubstr("No verdict yet"));
  EXPECT_THAT(csv_of(report), HasSubstr("latency,primary,0,,"));
  EXPECT_THAT(csv_of(report), HasSubstr("variant,50,0,0,latency,primary,0,,,,,")) << "no difference either";
}

TEST(Label, IsAScore) {
  EXPECT_EQ(*score_of_label("good"), 1);
  EXPECT_EQ(*score_of_label("thumbs_down"), 0);
  EXPECT_THAT(score_of_label("god").error().message, HasSubstr("'good'"));
}

}  // namespace
}  // namespace switchyard::experiments
