#include "experiments/experiment_row.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>
#include <utility>

namespace switchyard::experiments {
namespace {

/// "word number", one a line; numbers are written so that they are the same when read.
std::vector<std::pair<std::string, double>> pairs_of(std::string_view text) {
  std::vector<std::pair<std::string, double>> pairs;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t blank = line.rfind(' ');
    if (blank == std::string_view::npos) continue;
    double number = 0;
    std::from_chars(line.data() + blank + 1, line.data() + line.size(), number);
    pairs.emplace_back(line.substr(0, blank), number);
  }
  return pairs;
}

template <typename Word>
Word word_of(std::string_view text, std::initializer_list<Word> words, Word otherwise) {
  for (const Word word : words) {
    if (to_string(word) == text) return word;
  }
  return otherwise;
}

}  // namespace

store::ExperimentRow row_of(const Definition& definition, const Progress& progress) {
  store::ExperimentRow row{.id = definition.id,
                           .alias = definition.alias,
                           .hypothesis = definition.hypothesis,
                           .metric = std::string(info_of(definition.metric).name),
                           .better = std::string(to_string(definition.better)),
                           .minimum_sample = definition.minimum_sample,
                           .alpha = definition.alpha,
                           .automatic = definition.automatic,
                           .segment_by = to_string(definition.segment_by),
                           .state = std::string(to_string(progress.state)),
                           .decision = std::string(to_string(progress.decision)),
                           .winner = static_cast<std::int64_t>(progress.winner),
                           .acted = progress.acted,
                           .started = progress.started,
                           .ended = progress.ended};
  for (const Arm& arm : definition.arms) row.arms += fmt::format("{} {}\n", arm.version, arm.weight);
  for (const Guardrail& guardrail : definition.guardrails)
    row.guardrails += fmt::format("{} {}\n", info_of(guardrail.metric).name, guardrail.tolerance);
  return row;
}

Result<Definition> definition_of(const store::ExperimentRow& row) {
  const auto metric = parse_metric(row.metric);
  const auto segment_by = parse_segment_by(row.segment_by);
  if (!metric || !segment_by) {
    return fail(ErrorCode::kCorruptFile,
                fmt::format("the experiment '{}' is of another version of this program", row.id));
  }
  Definition definition{
      .id = row.id,
      .alias = row.alias,
      .arms = {},
      .hypothesis = row.hypothesis,
      .metric = *metric,
      .better = word_of(row.better, {Better::kLower, Better::kHigher}, info_of(*metric).better),
      .minimum_sample = row.minimum_sample,
      .alpha = row.alpha,
      .automatic = row.automatic,
      .segment_by = *segment_by};
  for (auto& [version, weight] : pairs_of(row.arms))
    definition.arms.push_back({.version = std::move(version), .weight = weight});
  for (const auto& [name, tolerance] : pairs_of(row.guardrails)) {
    const auto guardrail = parse_metric(name);
    if (guardrail) definition.guardrails.push_back({.metric = *guardrail, .tolerance = tolerance});
  }
  if (Status valid = validate(definition); !valid)
    return fail(ErrorCode::kCorruptFile, fmt::format("the experiment '{}' is damaged", row.id),
                valid.error().message);
  return definition;
}

Progress progress_of(const store::ExperimentRow& row) {
  return {
      .state = word_of(row.state, {State::kRunning, State::kStopped, State::kDecided}, State::kStopped),
      .decision = word_of(row.decision, {Decision::kInconclusive, Decision::kPromote, Decision::kRollBack},
                          Decision::kInconclusive),
      .winner = static_cast<std::size_t>(row.winner),
      .acted = row.acted,
      .started = row.started,
      .ended = row.ended};
}

}  // namespace switchyard::experiments
