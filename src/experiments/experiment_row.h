#pragma once

#include "experiments/experiment.h"
#include "experiments/verdict.h"
#include "store/experiment_store.h"

// Experiments as the store keeps them. Pure.

namespace switchyard::experiments {

/// How far an experiment has come.
struct Progress {
  State state = State::kRunning;
  Decision decision = Decision::kInconclusive;
  std::size_t winner = 0;    ///< arm that the decision is for
  bool acted = false;        ///< the alias was told
  std::int64_t started = 0;  ///< milliseconds since 1970
  std::int64_t ended = 0;    ///< 0: not yet
};

[[nodiscard]] store::ExperimentRow row_of(const Definition& definition, const Progress& progress);
/// Errors: kCorruptFile for words that this program does not know.
[[nodiscard]] Result<Definition> definition_of(const store::ExperimentRow& row);
[[nodiscard]] Progress progress_of(const store::ExperimentRow& row);

}  // namespace switchyard::experiments
