#include "http/experiment_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "experiments/label.h"
#include "http/body_fields.h"

namespace switchyard::http {
namespace {

using experiments::Definition;

constexpr std::size_t kLongestRequestId = 128;

std::unexpected<Error> wrong(std::string message) {
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

Result<std::string> read_needed(const Json& body, const char* key, const char* what) {
  const auto text = read_text(body, key);
  if (!text) return std::unexpected(text.error());
  if (!*text || (*text)->empty()) return wrong(fmt::format("'{}' must {}", key, what));
  return **text;
}

Status read_arms(const Json& body, const ResolveVersion& resolve, Definition& definition) {
  const auto control = read_needed(body, "control", "name the version that is there, as in \"model@1\"");
  if (!control) return std::unexpected(control.error());
  const auto variants = read_texts(body, "variants");
  if (!variants) return std::unexpected(variants.error());
  if (!*variants || (*variants)->empty() || (*variants)->size() >= experiments::kMostArms)
    return wrong(fmt::format("'variants' must name 1 to {} versions", experiments::kMostArms - 1));
  std::vector<std::string> names{*control};
  names.insert(names.end(), (*variants)->begin(), (*variants)->end());
  for (const std::string& name : names) {
    Result<std::string> version = resolve(name);
    if (!version) return std::unexpected(version.error());
    definition.arms.push_back({std::move(*version), 100.0 / static_cast<double>(names.size())});
  }
  return {};
}

/// As the alias is split, if it is between just these.
void take_weights(const std::map<std::string, double>& split, Definition& definition) {
  const bool fits =
      split.size() == definition.arms.size() &&
      std::ranges::all_of(definition.arms, [&](const auto& arm) { return split.contains(arm.version); });
  if (!fits) return;
  for (experiments::Arm& arm : definition.arms) arm.weight = split.at(arm.version);
}

/// By the names that 'control' and 'variants' have; all of them or none.
Status read_weights(const Json& body, const ResolveVersion& resolve, const SplitWeights& split,
                    Definition& definition) {
  const auto weights = body.find("weights");
  if (weights == body.end()) {
    take_weights(split(definition.alias), definition);
    return {};
  }
  if (!weights->is_object() || weights->size() != definition.arms.size())
    return wrong("'weights' must be an object with the per cent of the control and of each variant");
  for (const auto& [name, weight] : weights->items()) {
    const Result<std::string> version = resolve(name);
    if (!version) return std::unexpected(version.error());
    const auto arm = std::ranges::find(definition.arms, *version, &experiments::Arm::version);
    if (arm == definition.arms.end())
      return wrong(fmt::format("'weights' have {}, which is neither control nor variant", name));
    if (!weight.is_number()) return wrong(fmt::format("the weight of {} must be a number", name));
    arm->weight = weight.get<double>();
  }
  return {};
}

Result<experiments::Guardrail> read_guardrail(const Json& item) {
  const Json guardrail = item.is_string() ? Json{{"metric", item}} : item;
  if (!guardrail.is_object())
    return wrong("'guardrails' must be a list of metrics, or of objects with 'metric'");
  for (const auto& [key, value] : guardrail.items()) {
    if (key != "metric" && key != "tolerance")
      return wrong(fmt::format("unknown key '{}' in 'guardrails'; there are 'metric' and 'tolerance'", key));
  }
  const auto name = read_needed(guardrail, "metric", "name a guardrail's metric");
  if (!name) return std::unexpected(name.error());
  const auto metric = experiments::parse_metric(*name);
  if (!metric) return std::unexpected(metric.error());
  const auto tolerance = read_number(guardrail, "tolerance");
  if (!tolerance) return std::unexpected(tolerance.error());
  return experiments::Guardrail{.metric = *metric, .tolerance = tolerance->value_or(0)};
}

Status read_guardrails(const Json& body, Definition& definition) {
  const auto guardrails = body.find("guardrails");
  if (guardrails == body.end()) return {};
  if (!guardrails->is_array()) return wrong("'guardrails' must be a list");
  for (const Json& item : *guardrails) {
    const auto guardrail = read_guardrail(item);
    if (!guardrail) return std::unexpected(guardrail.error());
    definition.guardrails.push_back(*guardrail);
  }
  return {};
}

Status read_words(const Json& body, Definition& definition) {
  const auto metric_name = read_needed(body, "metric", "name the primary metric");
  if (!metric_name) return std::unexpected(metric_name.error());
  const auto metric = experiments::parse_metric(*metric_name);
  if (!metric) return std::unexpected(metric.error());
  definition.metric = *metric;
  definition.better = info_of(*metric).better;
  const auto better = read_text(body, "better");
  if (!better) return std::unexpected(better.error());
  if (*better) {
    if (**better != "lower" && **better != "higher") return wrong("'better' must be lower or higher");
    definition.better = **better == "lower" ? experiments::Better::kLower : experiments::Better::kHigher;
  }
  const auto hypothesis = read_text(body, "hypothesis");
  if (!hypothesis) return std::unexpected(hypothesis.error());
  definition.hypothesis = hypothesis->value_or("");
  const auto segment_by = read_text(body, "segment_by");
  if (!segment_by) return std::unexpected(segment_by.error());
  if (!*segment_by) return {};
  const auto by = experiments::parse_segment_by(**segment_by);
  if (!by) return std::unexpected(by.error());
  definition.segment_by = *by;
  return {};
}

Status read_numbers(const Json& body, Definition& definition) {
  const auto sample = read_number(body, "minimum_sample");
  if (!sample) return std::unexpected(sample.error());
  if (*sample) {
    if (std::trunc(**sample) != **sample || std::abs(**sample) > 1e15)
      return wrong("'minimum_sample' must be a whole number");
    definition.minimum_sample = static_cast<std::int64_t>(**sample);
  }
  const auto alpha = read_number(body, "alpha");
  if (!alpha) return std::unexpected(alpha.error());
  definition.alpha = alpha->value_or(definition.alpha);
  const auto automatic = read_flag(body, "automatic", false);
  if (!automatic) return std::unexpected(automatic.error());
  definition.automatic = *automatic;
  return {};
}

}  // namespace

Result<Definition> read_definition(const Json& body, const ResolveVersion& resolve,
                                   const SplitWeights& split) {
  Definition definition;
  const auto id = read_needed(body, "id", "be a name for the experiment");
  if (!id) return std::unexpected(id.error());
  definition.id = *id;
  const auto alias = read_needed(body, "alias", "name the alias whose split is watched");
  if (!alias) return std::unexpected(alias.error());
  definition.alias = *alias;
  if (Status words = read_words(body, definition); !words) return std::unexpected(words.error());
  if (Status numbers = read_numbers(body, definition); !numbers) return std::unexpected(numbers.error());
  if (Status guardrails = read_guardrails(body, definition); !guardrails)
    return std::unexpected(guardrails.error());
  if (const auto known = resolve(definition.alias); !known) return std::unexpected(known.error());
  if (Status arms = read_arms(body, resolve, definition); !arms) return std::unexpected(arms.error());
  if (Status weights = read_weights(body, resolve, split, definition); !weights)
    return std::unexpected(weights.error());
  if (Status valid = validate(definition); !valid) return std::unexpected(valid.error());
  return definition;
}

Result<experiments::Feedback> read_feedback(const Json& body) {
  const auto id = read_needed(body, "request_id", "be the x-request-id of a reply");
  if (!id) return std::unexpected(id.error());
  if (id->size() > kLongestRequestId)
    return wrong(fmt::format("'request_id' may have {} characters", kLongestRequestId));
  experiments::Feedback feedback{.request_id = *id};
  const auto score = read_number(body, "score");
  if (!score) return std::unexpected(score.error());
  const auto label = read_text(body, "label");
  if (!label) return std::unexpected(label.error());
  if (*score && *label) return wrong("'score' and 'label' are the same thing; give one of them");
  feedback.score = *score;
  if (*label) {
    const auto labelled = experiments::score_of_label(**label);
    if (!labelled) return std::unexpected(labelled.error());
    feedback.score = *labelled;
  }
  if (body.contains("converted")) {
    const auto converted = read_flag(body, "converted", false);
    if (!converted) return std::unexpected(converted.error());
    feedback.converted = *converted;
  }
  if (!feedback.score && !feedback.converted)
    return wrong("one of 'score', 'label' and 'converted' must be given");
  return feedback;
}

}  // namespace switchyard::http
