#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "store/state_database.h"

namespace switchyard::store {

/// An experiment as it was defined, and how far it has come. Words are the owner's.
struct ExperimentRow {
  std::int64_t serial = 0;  ///< given by the store; never used twice
  std::string id = {}, alias = {};
  std::string arms = {};  ///< "model@version weight", one a line, the control first
  std::string hypothesis = {}, metric = {}, better = {};
  std::string guardrails = {};  ///< "metric tolerance", one a line
  std::int64_t minimum_sample = 0;
  double alpha = 0;
  bool automatic = false;
  std::string segment_by = {}, state = {}, decision = {};
  std::int64_t winner = 0;   ///< arm
  bool acted = false;        ///< the alias was told of the decision
  std::int64_t started = 0;  ///< milliseconds since 1970
  std::int64_t ended = 0;    ///< 0: not yet
};

// What is counted, of experiment number `experiment`. An empty segment is the whole.
struct ArmRow {
  std::int64_t experiment = 0;
  std::string segment;
  std::int64_t arm = 0;
  std::int64_t assigned = 0, requests = 0;
};
struct MomentsRow {
  std::int64_t experiment = 0;
  std::string segment;
  std::int64_t arm = 0;
  std::string metric;
  std::int64_t count = 0;
  double mean = 0, squares = 0;
};
struct SubjectRow {
  std::int64_t experiment = 0, subject = 0;
};
/// How an interval was at one time. No bound: infinite.
struct TrailRow {
  std::int64_t experiment = 0, arm = 0, observations = 0;
  double estimate = 0;
  std::optional<double> lower = {}, upper = {};
};

/// One request.
struct ObservationRow {
  std::int64_t experiment = 0, arm = 0;
  std::string segment, request_id;
  std::int64_t at = 0;
  std::optional<double> latency = {}, first_token = {}, tokens_per_second = {}, failed = {};
  std::optional<double> score = {}, converted = {};
};

/// What a client said of one request.
struct FeedbackRow {
  std::string request_id;
  std::int64_t at = 0;
  std::optional<double> score = {}, converted = {};
};

/// All that one write changes.
struct ExperimentBatch {
  std::vector<ObservationRow> observations = {};
  std::vector<FeedbackRow> joined = {};             ///< to observations that are stored already
  std::vector<FeedbackRow> waiting = {};            ///< for an observation that has not come
  std::vector<std::string> no_longer_waiting = {};  ///< request ids
  std::vector<ArmRow> arms = {};                    ///< as they are now
  std::vector<MomentsRow> moments = {};
  std::vector<SubjectRow> subjects = {};
  std::vector<TrailRow> trail = {};
  std::vector<ExperimentRow> changed = {};  ///< of these state, decision, winner, acted and ended
  std::map<std::string, std::int64_t> counters = {};
};

/// Everything that counts, for a start.
struct ExperimentState {
  std::vector<ExperimentRow> experiments;  ///< in the order in which they were begun
  std::vector<ArmRow> arms;
  std::vector<MomentsRow> moments;
  std::vector<SubjectRow> subjects;
  std::vector<TrailRow> trail;
  std::vector<std::string> waiting;  ///< request ids of feedback whose observation has not come
  std::map<std::string, std::int64_t> counters;
};

/// Experiments, observations and feedback. Any thread; each method is one transaction, on disk when it
/// returns, all of it or nothing. Errors of all: what Database says.
class ExperimentStore {
 public:
  /// The oldest observations beyond `most_observations` (of all experiments) leave with the next write, and
  /// so does feedback that waits beyond `most_waiting`; what was counted of them stays.
  ExperimentStore(StateDatabase& state, std::int64_t most_observations, std::int64_t most_waiting)
      : state_(state), most_observations_(most_observations), most_waiting_(most_waiting) {}

  [[nodiscard]] Result<ExperimentState> load();
  /// Gives its serial number.
  [[nodiscard]] Result<std::int64_t> add(const ExperimentRow& row);
  /// With all that it has counted.
  [[nodiscard]] Status remove(std::int64_t serial);
  [[nodiscard]] Status write(const ExperimentBatch& batch);
  /// The newest one of that request; nothing where there is none.
  [[nodiscard]] Result<std::optional<ObservationRow>> find(const std::string& request_id);
  [[nodiscard]] Result<std::optional<FeedbackRow>> waiting(const std::string& request_id);
  /// Of all feedback that waits.
  [[nodiscard]] Result<std::vector<std::string>> waiting_ids();
  /// The newest of an experiment, newest first.
  [[nodiscard]] Result<std::vector<ObservationRow>> observations(std::int64_t experiment, std::int64_t most);

 private:
  StateDatabase& state_;
  const std::int64_t most_observations_, most_waiting_;
};

}  // namespace switchyard::store
