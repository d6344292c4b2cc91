#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "experiments/verdict.h"
#include "store/experiment_store.h"

namespace switchyard::experiments {

/// All that one experiment has counted, as a whole and by segment. One thread at a time.
class Tally {
 public:
  /// Further segments are counted together, as "other".
  static constexpr std::size_t kMostSegments = 20;

  explicit Tally(std::size_t arms) : arms_(arms), whole_(arms) {}

  [[nodiscard]] const std::vector<ArmNumbers>& whole() const { return whole_; }
  [[nodiscard]] const std::map<std::string, std::vector<ArmNumbers>>& segments() const { return segments_; }

  /// The segment that a value of this name is counted in.
  [[nodiscard]] std::string segment_for(const std::string& name) const;
  /// A request that came to an arm, and whether it is one more assignment.
  void add_request(std::size_t arm, const std::string& segment, bool assigned);
  /// False, and nothing counted, for a value that cannot be.
  bool add(std::size_t arm, const std::string& segment, Metric metric, double value);

  void restore(const store::ArmRow& row);
  void restore(const store::MomentsRow& row);
  /// Everything as rows of experiment number `serial`.
  void save(std::int64_t serial, store::ExperimentBatch& batch) const;

 private:
  [[nodiscard]] std::vector<ArmNumbers>& numbers_of(const std::string& segment);

  std::size_t arms_;
  std::vector<ArmNumbers> whole_;
  std::map<std::string, std::vector<ArmNumbers>> segments_;
};

}  // namespace switchyard::experiments
