#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "experiments/batch_builder.h"
#include "experiments/intake_counter.h"
#include "experiments/observation.h"
#include "experiments/report.h"
#include "experiments/trial.h"
#include "store/experiment_store.h"

namespace switchyard::experiments {

/// What became of observations and feedback, since there are any.
struct Losses {
  std::int64_t written = 0;
  std::int64_t queued = 0;                ///< to be written
  std::int64_t dropped = 0;               ///< too many were queued
  std::int64_t lost = 0;                  ///< with a process that was killed before they were written
  std::int64_t refused = 0;               ///< values that cannot be, and feedback that came twice
  std::int64_t waiting = 0;               ///< feedback whose request has not been observed
  std::optional<Error> write_error = {};  ///< why the last write failed; it is tried again
};

/// An alias that should mean another version, as an experiment has decided.
struct Move {
  std::string alias;
  std::string version;
  std::vector<std::string> arms;  ///< of the experiment: an alias that means another was moved by somebody
  std::string why;
};

/// The experiments of a server: takes observations and feedback in, counts them, writes them in batches,
/// judges. Everything that was written is there again after a kill -9; what was not yet is counted as lost.
///
/// Any thread. observe() and feedback() never wait for the disk; begin(), stop(), remove() and write() do,
/// one at a time; the others wait for neither.
class Recorder {
 public:
  struct Dependencies {
    store::StateDatabase& state;
    /// Called, without a lock, once an experiment with `automatic` is decided and that is on disk; again
    /// after a start where it was not told by `done` that the alias was moved. `done` may be called by any
    /// thread, also after the recorder's end.
    std::function<void(const Move&, std::function<void(bool moved)> done)> move = {};
    std::function<std::int64_t()> now = {};  ///< milliseconds since 1970; of the system's clock where empty
    std::string intake_file = {};            ///< of IntakeCounter; empty: in memory
  };
  struct Options {
    std::size_t most_queued = 64 << 10;
    std::int64_t most_observations = 200'000;  ///< stored; what was counted of older ones stays
    std::int64_t most_waiting = 10'000;        ///< feedback without its request
  };

  explicit Recorder(Dependencies dependencies) : Recorder(std::move(dependencies), Options{}) {}
  /// Reads what the store has; with an error there (it is logged) it begins with nothing.
  Recorder(Dependencies dependencies, const Options& options);
  /// Writes what is queued. What that decides is acted on at the next start.
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Errors: kInvalidArgument as of validate(); kConflict where the id is taken or another experiment of the
  /// alias runs; what the store says.
  [[nodiscard]] Status begin(const Definition& definition) EXCLUDES(changes_, mutex_, intake_);
  /// Ends it without a decision. Errors: kNotFound with near names, kConflict where it runs no more.
  [[nodiscard]] Status stop(const std::string& id) EXCLUDES(changes_, mutex_, intake_);
  [[nodiscard]] Status remove(const std::string& id) EXCLUDES(changes_, mutex_, intake_);
  /// Ends, without a decision, the one that runs on an alias which is there no more.
  void alias_removed(const std::string& alias) EXCLUDES(changes_, mutex_, intake_);

  /// In the order in which they were begun.
  [[nodiscard]] std::vector<std::shared_ptr<const Trial>> list() const EXCLUDES(mutex_);
  [[nodiscard]] Result<Report> report(const std::string& id) const EXCLUDES(mutex_);
  [[nodiscard]] Losses losses() const EXCLUDES(mutex_, intake_);

  /// The header of requests by whose values the running experiment of `alias` is cut into parts; empty: none.
  [[nodiscard]] std::string segment_header(std::string_view alias) const EXCLUDES(intake_);
  /// Counts for the running experiment of the alias `observation.name`, if `observation.version` is one of
  /// its arms; else nothing happens.
  void observe(const Observation& observation) EXCLUDES(intake_);
  /// Counts once its request is observed, which may have been or will be. Errors: kUnavailable when too much
  /// is queued.
  [[nodiscard]] Status feedback(const Feedback& feedback) EXCLUDES(intake_);

  /// Writes what is queued and acts on what that decides. To be called every half second or so: that is the
  /// window of which a kill loses the observations. A write that fails is tried again with the next call.
  void write() EXCLUDES(changes_, mutex_, intake_);

 private:
  /// Told by whoever moves an alias, perhaps after the recorder's end.
  class Serials {
   public:
    void add(std::int64_t serial) EXCLUDES(mutex_) {
      const MutexLock lock(mutex_);
      serials_.push_back(serial);
    }
    [[nodiscard]] std::vector<std::int64_t> take() EXCLUDES(mutex_) {
      const MutexLock lock(mutex_);
      return std::exchange(serials_, {});
    }

   private:
    Mutex mutex_;
    std::vector<std::int64_t> serials_ GUARDED_BY(mutex_);
  };
  /// Of a running experiment: what observe() has to know.
  struct Watch {
    std::int64_t serial = 0;
    std::vector<std::string> versions;  ///< by arm
    SegmentBy segment_by = {};
  };
  using Watches = std::map<std::string, Watch, std::less<>>;  ///< by alias

  void load() EXCLUDES(changes_, mutex_, intake_);
  void bound_waiting() REQUIRES(changes_);
  void restore(const store::ExperimentState& state) REQUIRES(changes_);
  void count_lost(const store::ExperimentState& state) REQUIRES(changes_);
  void write_queued() REQUIRES(changes_);
  [[nodiscard]] Status write_some() REQUIRES(changes_);
  void note(const Status& written) EXCLUDES(mutex_);
  void keep(BatchBuilder& builder, std::size_t items) REQUIRES(changes_);
  void publish() REQUIRES(changes_);
  void act(const Trial& decided) EXCLUDES(changes_, mutex_, intake_);
  void note_moved() EXCLUDES(changes_, mutex_, intake_);
  [[nodiscard]] Result<std::shared_ptr<const Trial>> find(const std::string& id) const EXCLUDES(mutex_);
  [[nodiscard]] Status take(Taken taken) EXCLUDES(intake_);
  [[nodiscard]] Status change(const Trial& trial) REQUIRES(changes_);

  const Dependencies dependencies_;
  const Options options_;
  store::ExperimentStore store_;  // synchronises itself
  IntakeCounter counter_;         // synchronises itself

  /// One change of the store at a time: held while it is written, and never by observe(), feedback() or
  /// readers.
  Mutex changes_;
  Stock stock_ GUARDED_BY(changes_);
  std::deque<Taken> unwritten_ GUARDED_BY(changes_);
  std::map<std::string, std::int64_t> counters_ GUARDED_BY(changes_);
  std::vector<std::shared_ptr<const Trial>> decided_ GUARDED_BY(changes_);  ///< not acted on yet
  const std::shared_ptr<Serials> moved_ = std::make_shared<Serials>();      ///< whose alias was moved

  mutable Mutex mutex_;  ///< what readers see
  std::vector<std::shared_ptr<const Trial>> trials_ GUARDED_BY(mutex_);
  std::map<std::string, std::int64_t> shown_counters_ GUARDED_BY(mutex_);
  std::int64_t shown_waiting_ GUARDED_BY(mutex_) = 0;
  std::optional<Error> write_error_ GUARDED_BY(mutex_);

  mutable Mutex intake_;
  std::shared_ptr<const Watches> watches_ GUARDED_BY(intake_) = std::make_shared<const Watches>();
  std::deque<Taken> queue_ GUARDED_BY(intake_);
  std::size_t held_ GUARDED_BY(intake_) = 0;  ///< in the queue, and taken from it but not yet written
  std::int64_t dropped_ GUARDED_BY(intake_) = 0;
};

}  // namespace switchyard::experiments
