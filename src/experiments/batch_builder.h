#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "experiments/trial.h"
#include "store/experiment_store.h"

namespace switchyard::experiments {

/// A request that came to an arm of experiment number row.experiment.
struct TakenObservation {
  store::ObservationRow row;
  std::string subject = {};
};
using Taken = std::variant<TakenObservation, store::FeedbackRow>;

/// What is there before a write. Owned by the recorder.
struct Stock {
  std::map<std::int64_t, std::shared_ptr<const Trial>> trials;  ///< by serial number
  std::map<std::int64_t, Subjects> subjects;
  std::unordered_set<std::string> waiting;  ///< requests whose feedback waits
};

/// Turns what was taken in into one write and what is so once it is done. Changes nothing itself. One thread.
class BatchBuilder {
 public:
  BatchBuilder(const Stock& stock, store::ExperimentStore& store) : stock_(stock), store_(store) {}

  /// Errors: what the store says when it is asked for an earlier observation or feedback.
  [[nodiscard]] Status add(const Taken& taken);
  /// Judges each experiment that has changed, at `now` (milliseconds since 1970).
  void judge(std::int64_t now);

  /// After judge().
  [[nodiscard]] store::ExperimentBatch& batch() { return batch_; }
  [[nodiscard]] const std::map<std::int64_t, Trial>& changed() const { return changed_; }
  /// Those of changed() that have come to their decision by this.
  [[nodiscard]] const std::vector<std::int64_t>& decided() const { return decided_; }
  /// Values that cannot be, and feedback that came twice.
  [[nodiscard]] std::int64_t refused() const { return refused_; }

 private:
  [[nodiscard]] Status add(const TakenObservation& taken);
  [[nodiscard]] Status add(const store::FeedbackRow& feedback);
  [[nodiscard]] Trial* running(std::int64_t serial);
  [[nodiscard]] bool is_assigned(std::int64_t serial, const std::string& subject);
  [[nodiscard]] Result<store::FeedbackRow> take_waiting(const std::string& request_id);
  void count(Trial& trial, const store::ObservationRow& row, Metric metric, std::optional<double> value);
  void join(store::ObservationRow& row, const store::FeedbackRow& feedback);

  const Stock& stock_;
  store::ExperimentStore& store_;
  store::ExperimentBatch batch_;
  std::map<std::int64_t, Trial> changed_;
  std::map<std::int64_t, std::unordered_set<std::int64_t>> new_subjects_;
  std::unordered_map<std::string, std::size_t> by_request_;       ///< in batch_.observations
  std::unordered_map<std::string, store::ObservationRow> found_;  ///< in the store, with what was joined here
  std::unordered_map<std::string, store::FeedbackRow> now_waiting_;  ///< that came with this batch
  std::vector<std::int64_t> decided_;
  std::int64_t refused_ = 0;
};

}  // namespace switchyard::experiments
