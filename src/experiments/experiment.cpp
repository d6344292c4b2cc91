#include "experiments/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/header_name.h"
#include "base/nearest.h"

namespace switchyard::experiments {
namespace {

constexpr std::size_t kLongestId = 64;
constexpr std::size_t kLongestHypothesis = 1000;
constexpr std::int64_t kLeastSample = 20;
constexpr std::int64_t kMostSample = 10'000'000;

std::unexpected<Error> wrong(std::string message) {
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

bool is_id(const std::string& id) {
  return !id.empty() && id.size() <= kLongestId && std::ranges::all_of(id, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  });
}

Status validate_arms(const std::vector<Arm>& arms) {
  if (arms.size() < 2 || arms.size() > kMostArms)
    return wrong(fmt::format("'variants' must name 1 to {} versions beside the control", kMostArms - 1));
  std::set<std::string> versions;
  double sum = 0;
  for (const Arm& arm : arms) {
    if (arm.version.empty()) return wrong("'variants' and 'control' must name versions, as in \"model@2\"");
    if (!versions.insert(arm.version).second)
      return wrong(fmt::format("'variants' name {} twice", arm.version));
    if (!std::isfinite(arm.weight) || arm.weight <= 0)
      return wrong(fmt::format("the weight of {} must be above 0", arm.version));
    sum += arm.weight;
  }
  if (std::abs(sum - 100) > 1e-6)
    return wrong(fmt::format("'weights' must add up to 100, these add up to {:.6g}", sum));
  return {};
}

Status validate_guardrails(const Definition& definition) {
  std::set<Metric> metrics{definition.metric};
  for (const Guardrail& guardrail : definition.guardrails) {
    const std::string_view name = info_of(guardrail.metric).name;
    if (guardrail.metric == definition.metric)
      return wrong(fmt::format("'guardrails' have {}, which is the primary metric", name));
    if (!metrics.insert(guardrail.metric).second)
      return wrong(fmt::format("'guardrails' have {} twice", name));
    if (!std::isfinite(guardrail.tolerance) || guardrail.tolerance < 0)
      return wrong(fmt::format("the tolerance of guardrail {} must be 0 or more", name));
  }
  return {};
}

constexpr std::string_view kHeaderPrefix = "header:";

/// Twice the least number of observations with which anything is decided: true differences take longer.
double planned(const Definition& definition) {
  return 2.0 * static_cast<double>(definition.minimum_sample) * static_cast<double>(definition.arms.size());
}

double variants(const Definition& definition) { return static_cast<double>(definition.arms.size() - 1); }

}  // namespace

std::string to_string(const SegmentBy& by) {
  switch (by.what) {
    case SegmentBy::What::kNothing: return "none";
    case SegmentBy::What::kPath: return "path";
    case SegmentBy::What::kStreaming: return "streaming";
    case SegmentBy::What::kHeader: return std::string(kHeaderPrefix) + by.header;
  }
  return "?";
}

Result<SegmentBy> parse_segment_by(std::string_view word) {
  std::vector<std::string> words;
  for (const auto what : {SegmentBy::What::kNothing, SegmentBy::What::kPath, SegmentBy::What::kStreaming}) {
    SegmentBy by{.what = what};
    words.push_back(to_string(by));
    if (words.back() == word) return by;
  }
  if (word.starts_with(kHeaderPrefix)) {
    const std::string_view name = word.substr(kHeaderPrefix.size());
    if (!is_header_name(name) || name.size() > kLongestId)
      return wrong(fmt::format("'segment_by' names no header that a request may have: '{}'", word));
    return SegmentBy{.what = SegmentBy::What::kHeader, .header = std::string(name)};
  }
  words.push_back(std::string(kHeaderPrefix) + "NAME");
  return wrong(fmt::format("'segment_by' does not know '{}'{}", word, did_you_mean_or_known(word, words)));
}

Status validate(const Definition& definition) {
  if (!is_id(definition.id))
    return wrong(fmt::format("'id' must be 1 to {} letters, digits, '-', '_' or '.'", kLongestId));
  if (definition.alias.empty()) return wrong("'alias' must name the alias whose split is watched");
  if (definition.hypothesis.size() > kLongestHypothesis)
    return wrong(fmt::format("'hypothesis' may have {} bytes", kLongestHypothesis));
  if (Status arms = validate_arms(definition.arms); !arms) return arms;
  if (Status guardrails = validate_guardrails(definition); !guardrails) return guardrails;
  if (definition.minimum_sample < kLeastSample || definition.minimum_sample > kMostSample)
    return wrong(fmt::format("'minimum_sample' must be {} to {}", kLeastSample, kMostSample));
  const bool is_level = definition.alpha >= 1e-6 && definition.alpha <= 0.5;  // no NaN
  if (!is_level) return wrong("'alpha' must be 0.000001 to 0.5");
  return {};
}

Level primary_level(const Definition& definition) {
  return {.alpha = definition.alpha / variants(definition), .planned = planned(definition)};
}

Level guardrail_level(const Definition& definition) {
  const auto guardrails = static_cast<double>(std::max<std::size_t>(1, definition.guardrails.size()));
  return {.alpha = definition.alpha / variants(definition) / guardrails, .planned = planned(definition)};
}

std::string_view to_string(State state) {
  switch (state) {
    case State::kRunning: return "running";
    case State::kStopped: return "stopped";
    case State::kDecided: return "decided";
  }
  return "?";
}

}  // namespace switchyard::experiments
