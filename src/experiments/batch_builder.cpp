#include "experiments/batch_builder.h"

#include <algorithm>
#include <cmath>

namespace switchyard::experiments {
namespace {

std::optional<double> bound(double value) {
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

store::TrailRow trail_row(std::int64_t serial, const TrailPoint& point) {
  return {.experiment = serial,
          .arm = static_cast<std::int64_t>(point.arm),
          .observations = point.observations,
          .estimate = point.interval.estimate,
          .lower = bound(point.interval.lower),
          .upper = bound(point.interval.upper)};
}

/// What was said first stands.
void merge(store::FeedbackRow& into, const store::FeedbackRow& from) {
  if (!into.score) into.score = from.score;
  if (!into.converted) into.converted = from.converted;
}

}  // namespace

Status BatchBuilder::add(const Taken& taken) {
  return std::visit([this](const auto& one) { return add(one); }, taken);
}

Trial* BatchBuilder::running(std::int64_t serial) {
  if (const auto changed = changed_.find(serial); changed != changed_.end()) return &changed->second;
  const auto found = stock_.trials.find(serial);
  if (found == stock_.trials.end() || found->second->progress.state != State::kRunning) return nullptr;
  return &changed_.emplace(serial, *found->second).first->second;
}

bool BatchBuilder::is_assigned(std::int64_t serial, const std::string& subject) {
  if (subject.empty()) return true;
  const std::int64_t hash = hash_of(subject);
  const auto seen = stock_.subjects.find(serial);
  const bool is_new = seen == stock_.subjects.end() || seen->second.is_new(hash);
  if (!is_new || !new_subjects_[serial].insert(hash).second) return false;
  batch_.subjects.push_back({.experiment = serial, .subject = hash});
  return true;
}

void BatchBuilder::count(Trial& trial, const store::ObservationRow& row, Metric metric,
                         std::optional<double> value) {
  if (value && !trial.tally.add(static_cast<std::size_t>(row.arm), row.segment, metric, *value)) ++refused_;
}

Status BatchBuilder::add(const TakenObservation& taken) {
  Trial* const trial = running(taken.row.experiment);
  if (trial == nullptr) return {};  // it has ended since
  store::ObservationRow row = taken.row;
  row.segment = trial->tally.segment_for(row.segment);
  trial->tally.add_request(static_cast<std::size_t>(row.arm), row.segment,
                           is_assigned(row.experiment, taken.subject));
  count(*trial, row, Metric::kLatency, row.latency);
  count(*trial, row, Metric::kFirstToken, row.first_token);
  count(*trial, row, Metric::kTokensPerSecond, row.tokens_per_second);
  count(*trial, row, Metric::kErrorRate, row.failed);
  if (const bool waited = now_waiting_.contains(row.request_id) || stock_.waiting.contains(row.request_id);
      waited && !row.request_id.empty()) {
    const Result<store::FeedbackRow> feedback = take_waiting(row.request_id);
    if (!feedback) return std::unexpected(feedback.error());
    join(row, *feedback);
  }
  by_request_[row.request_id] = batch_.observations.size();
  batch_.observations.push_back(std::move(row));
  return {};
}

Result<store::FeedbackRow> BatchBuilder::take_waiting(const std::string& request_id) {
  store::FeedbackRow feedback{.request_id = request_id};
  if (stock_.waiting.contains(request_id)) {
    const auto stored = store_.waiting(request_id);
    if (!stored) return std::unexpected(stored.error());
    if (*stored) feedback = **stored;
    batch_.no_longer_waiting.push_back(request_id);
  }
  if (const auto now = now_waiting_.extract(request_id); !now.empty()) merge(feedback, now.mapped());
  return feedback;
}

void BatchBuilder::join(store::ObservationRow& row, const store::FeedbackRow& feedback) {
  Trial* const trial = running(row.experiment);
  const auto take = [&](std::optional<double>& into, std::optional<double> value, Metric metric) {
    if (!value) return;
    if (into) {
      ++refused_;
      return;
    }
    into = value;
    if (trial != nullptr) count(*trial, row, metric, value);
  };
  take(row.score, feedback.score, Metric::kScore);
  take(row.converted, feedback.converted, Metric::kConversion);
}

Status BatchBuilder::add(const store::FeedbackRow& feedback) {
  if (const auto here = by_request_.find(feedback.request_id); here != by_request_.end()) {
    join(batch_.observations[here->second], feedback);
    return {};
  }
  auto stored = found_.find(feedback.request_id);
  if (stored == found_.end()) {
    const auto found = store_.find(feedback.request_id);
    if (!found) return std::unexpected(found.error());
    if (!*found) {
      const auto [waiting, first] = now_waiting_.try_emplace(feedback.request_id, feedback);
      if (!first) merge(waiting->second, feedback);
      return {};
    }
    stored = found_.emplace(feedback.request_id, **found).first;
  }
  store::ObservationRow& row = stored->second;
  const store::ObservationRow before = row;
  join(row, feedback);
  if (row.score != before.score || row.converted != before.converted) {
    batch_.joined.push_back({.request_id = feedback.request_id,
                             .at = feedback.at,
                             .score = before.score ? std::nullopt : row.score,
                             .converted = before.converted ? std::nullopt : row.converted});
  }
  return {};
}

void BatchBuilder::judge(std::int64_t now) {
  for (auto& [id, feedback] : now_waiting_) batch_.waiting.push_back(feedback);
  for (auto& [serial, trial] : changed_) {
    const Verdict verdict = decide(trial.definition, trial.tally.whole());
    for (const TrailPoint& point : next_points(trial, verdict)) {
      batch_.trail.push_back(trail_row(serial, point));
      trial.trail.push_back(point);
    }
    trial.tally.save(serial, batch_);
    if (verdict.decision == Decision::kInconclusive) continue;
    trial.progress.state = State::kDecided;
    trial.progress.decision = verdict.decision;
    trial.progress.winner = verdict.arm;
    trial.progress.ended = now;
    store::ExperimentRow row = row_of(trial.definition, trial.progress);
    row.serial = serial;
    batch_.changed.push_back(std::move(row));
    decided_.push_back(serial);
  }
}

}  // namespace switchyard::experiments
