#include "experiments/tally.h"

namespace switchyard::experiments {
namespace {

void save_numbers(std::int64_t serial, const std::string& segment, const std::vector<ArmNumbers>& numbers,
                  store::ExperimentBatch& batch) {
  for (std::size_t arm = 0; arm < numbers.size(); ++arm) {
    const auto number = static_cast<std::int64_t>(arm);
    batch.arms.push_back({.experiment = serial,
                          .segment = segment,
                          .arm = number,
                          .assigned = numbers[arm].assigned,
                          .requests = numbers[arm].requests});
    for (const MetricInfo& info : metric_table()) {
      const Moments& moments = numbers[arm].of(info.metric);
      if (moments.count == 0) continue;
      batch.moments.push_back({.experiment = serial,
                               .segment = segment,
                               .arm = number,
                               .metric = std::string(info.name),
                               .count = moments.count,
                               .mean = moments.mean,
                               .squares = moments.squares});
    }
  }
}

}  // namespace

std::vector<ArmNumbers>& Tally::numbers_of(const std::string& segment) {
  if (segment.empty()) return whole_;
  return segments_.try_emplace(segment, arms_).first->second;
}

std::string Tally::segment_for(const std::string& name) const {
  const bool has_room = name.empty() || segments_.contains(name) || segments_.size() < kMostSegments;
  return has_room ? name : "other";
}

void Tally::add_request(std::size_t arm, const std::string& segment, bool assigned) {
  const auto count = [&](ArmNumbers& numbers) {
    ++numbers.requests;
    if (assigned) ++numbers.assigned;
  };
  count(whole_[arm]);
  if (!segment.empty()) count(numbers_of(segment)[arm]);
}

bool Tally::add(std::size_t arm, const std::string& segment, Metric metric, double value) {
  const std::optional<double> counted = compared(metric, value);
  if (!counted) return false;
  const auto at = static_cast<std::size_t>(metric);
  whole_[arm].metrics.at(at).add(*counted);
  if (!segment.empty()) numbers_of(segment)[arm].metrics.at(at).add(*counted);
  return true;
}

void Tally::restore(const store::ArmRow& row) {
  const auto arm = static_cast<std::size_t>(row.arm);
  if (arm >= arms_) return;
  numbers_of(row.segment)[arm].assigned = row.assigned;
  numbers_of(row.segment)[arm].requests = row.requests;
}

void Tally::restore(const store::MomentsRow& row) {
  const auto arm = static_cast<std::size_t>(row.arm);
  const auto metric = parse_metric(row.metric);
  if (arm >= arms_ || !metric) return;
  numbers_of(row.segment)[arm].metrics.at(static_cast<std::size_t>(*metric)) = {
      .count = row.count, .mean = row.mean, .squares = row.squares};
}

void Tally::save(std::int64_t serial, store::ExperimentBatch& batch) const {
  save_numbers(serial, "", whole_, batch);
  for (const auto& [segment, numbers] : segments_) save_numbers(serial, segment, numbers, batch);
}

}  // namespace switchyard::experiments
