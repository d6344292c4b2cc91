#include "traffic/canary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace switchyard::traffic {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;

/// Fewer times say nothing of a 95th percentile.
constexpr std::uint64_t kFewestTimed = 5;

double in_ms(Duration time) { return duration<double, std::milli>(time).count(); }

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Status wrong(std::string_view what) { return fail(ErrorCode::kInvalidArgument, std::string(what)); }

/// No NaN.
bool is_share(double value) { return value >= 0 && value <= 1; }

std::optional<std::string> why_roll_back(const CanaryPlan& plan, const ArmFigures& canary,
                                         const ArmFigures& stable) {
  if (canary.failed_probes > plan.max_failed_probes) {
    return fmt::format("{} failed probes, {} allowed", canary.failed_probes, plan.max_failed_probes);
  }
  // As if the requests that a step needs had come: a version that fails at once is not given all of them.
  const double counted = static_cast<double>(std::max<std::uint64_t>(canary.requests, plan.min_requests));
  const double allowed = (stable.error_rate() + plan.max_error_rate) * counted;
  if (static_cast<double>(canary.errors) > allowed) {
    return fmt::format("{} of {} requests failed; {} of {} of the stable arm's, and {:g} % more are allowed",
                       canary.errors, canary.requests, stable.errors, stable.requests,
                       plan.max_error_rate * 100);
  }
  if (canary.requests < plan.min_requests) return std::nullopt;
  const bool has_times =
      canary.ttft_p95 && stable.ttft_p95 && canary.timed >= kFewestTimed && stable.timed >= kFewestTimed;
  if (has_times && in_ms(*canary.ttft_p95) > in_ms(*stable.ttft_p95) * plan.max_ttft_ratio) {
    return fmt::format(
        "p95 of the first token {:.1f} ms, {:.1f} ms of the stable arm's; {:g} times is allowed",
        in_ms(*canary.ttft_p95), in_ms(*stable.ttft_p95), plan.max_ttft_ratio);
  }
  if (canary.tokens_per_s && stable.tokens_per_s &&
      *canary.tokens_per_s < *stable.tokens_per_s * plan.min_speed_ratio) {
    return fmt::format("{:.1f} tokens/s, {:.1f} of the stable arm's; {:g} times is the least",
                       *canary.tokens_per_s, *stable.tokens_per_s, plan.min_speed_ratio);
  }
  return std::nullopt;
}

std::string figures_text(const ArmFigures& arm) {
  std::string text = fmt::format("{} requests, {} failed", arm.requests, arm.errors);
  if (arm.ttft_p95) text += fmt::format(", p95 of the first token {:.1f} ms", in_ms(*arm.ttft_p95));
  if (arm.tokens_per_s) text += fmt::format(", {:.1f} tokens/s", *arm.tokens_per_s);
  return text;
}

}  // namespace

Status check_plan(const CanaryPlan& plan) {
  if (plan.steps.empty() || plan.steps.size() > 100) return wrong("'steps' must be 1 to 100 percentages");
  double before = 0;
  for (const double step : plan.steps) {
    const bool rises = step > before && step < 100;  // no NaN
    if (!rises) return wrong("'steps' must rise and lie above 0 and below 100");
    before = step;
  }
  if (plan.interval < std::chrono::seconds(1)) return wrong("'interval' must be a second at least");
  if (plan.min_requests == 0) return wrong("'min_requests' must be 1 at least");
  if (!is_share(plan.max_error_rate)) return wrong("'max_error_rate' must be from 0 to 1");
  if (!(plan.max_ttft_ratio >= 1)) return wrong("'max_ttft_ratio' must be 1 at least");
  if (!is_share(plan.min_speed_ratio)) return wrong("'min_speed_ratio' must be from 0 to 1");
  return {};
}

std::string to_text(const CanaryPlan& plan) {
  return fmt::format(
      "steps={}\ninterval_ms={}\nmin_requests={}\nmax_error_rate={}\nmax_ttft_ratio={}\nmin_speed_ratio={}\n"
      "max_failed_probes={}\n",
      fmt::join(plan.steps, ","), std::chrono::duration_cast<milliseconds>(plan.interval).count(),
      plan.min_requests, plan.max_error_rate, plan.max_ttft_ratio, plan.min_speed_ratio,
      plan.max_failed_probes);
}

CanaryPlan parse_plan(std::string_view text) {
  CanaryPlan plan;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, equals);
    std::string_view value = line.substr(equals + 1);
    if (key == "steps") {
      plan.steps.clear();
      while (!value.empty()) {
        const std::string_view word = value.substr(0, value.find(','));
        value.remove_prefix(std::min(word.size() + 1, value.size()));
        if (const auto step = number(word)) plan.steps.push_back(*step);
      }
      continue;
    }
    const auto found = number(value);
    if (!found) continue;
    if (key == "interval_ms") plan.interval = milliseconds(std::llround(*found));
    if (key == "min_requests") plan.min_requests = static_cast<std::uint32_t>(*found);
    if (key == "max_error_rate") plan.max_error_rate = *found;
    if (key == "max_ttft_ratio") plan.max_ttft_ratio = *found;
    if (key == "min_speed_ratio") plan.min_speed_ratio = *found;
    if (key == "max_failed_probes") plan.max_failed_probes = static_cast<std::uint32_t>(*found);
  }
  return plan;
}

CanaryDecision decide(const CanaryPlan& plan, Duration elapsed, const ArmFigures& canary,
                      const ArmFigures& stable) {
  if (auto why = why_roll_back(plan, canary, stable)) return {CanaryMove::kRollBack, *std::move(why)};
  const std::string figures =
      fmt::format("canary: {}; stable: {}", figures_text(canary), figures_text(stable));
  if (elapsed < plan.interval || canary.requests < plan.min_requests) return {CanaryMove::kHold, figures};
  return {CanaryMove::kAdvance, figures};
}

}  // namespace switchyard::traffic
