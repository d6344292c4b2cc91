#include "experiments/recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <limits>
#include <utility>

#include "base/nearest.h"
#include "telemetry/log.h"

namespace switchyard::experiments {
namespace {

/// One transaction's worth: others want the database, too.
constexpr std::size_t kMostAtOnce = 2048;
constexpr std::size_t kMostTrials = 200;

using TrialPtr = std::shared_ptr<const Trial>;

std::int64_t system_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

std::string segment_of(const SegmentBy& by, const Observation& observation) {
  switch (by.what) {
    case SegmentBy::What::kNothing: return {};
    case SegmentBy::What::kPath: return observation.path;
    case SegmentBy::What::kStreaming: return observation.streamed ? "streamed" : "whole";
    case SegmentBy::What::kHeader: return observation.segment.empty() ? "none" : observation.segment;
  }
  return {};
}

std::optional<double> number(std::optional<bool> flag) {
  return flag ? std::optional(*flag ? 1.0 : 0.0) : std::nullopt;
}

std::int64_t count_of(const std::map<std::string, std::int64_t>& counters, const char* name) {
  const auto found = counters.find(name);
  return found == counters.end() ? 0 : found->second;
}

Move move_of(const Trial& trial) {
  std::vector<std::string> arms;
  for (const Arm& arm : trial.definition.arms) arms.push_back(arm.version);
  return {.alias = trial.definition.alias,
          .version = trial.definition.arms[trial.progress.winner].version,
          .arms = std::move(arms),
          .why = fmt::format("experiment {}: {}", trial.definition.id, to_string(trial.progress.decision))};
}

}  // namespace

Recorder::Recorder(Dependencies dependencies, const Options& options)
    : dependencies_([&] {
        if (!dependencies.now) dependencies.now = system_now;
        return std::move(dependencies);
      }()),
      options_(options),
      store_(dependencies_.state, options.most_observations, options.most_waiting),
      counter_(dependencies_.intake_file) {
  load();
}

Recorder::~Recorder() {
  const MutexLock changing(changes_);
  write_queued();
}

void Recorder::load() {
  const MutexLock changing(changes_);
  const Result<store::ExperimentState> state = store_.load();
  if (!state) {
    telemetry::log_error("experiments", "experiments cannot be read: {}", state.error().to_string());
    return;
  }
  restore(*state);
  count_lost(*state);
  publish();
  for (const auto& [serial, trial] : stock_.trials) {
    const Progress& progress = trial->progress;
    if (progress.state == State::kDecided && trial->definition.automatic && !progress.acted)
      decided_.push_back(trial);
  }
}

void Recorder::restore(const store::ExperimentState& state) {
  std::map<std::int64_t, Trial> trials;
  for (const store::ExperimentRow& row : state.experiments) {
    Result<Definition> definition = definition_of(row);
    if (definition) {
      trials.emplace(
          row.serial,
          Trial{.serial = row.serial, .definition = std::move(*definition), .progress = progress_of(row)});
    } else {
      telemetry::log_warning("experiments", "{}", definition.error().to_string());
    }
  }
  const auto with = [&](std::int64_t serial, auto use) {
    if (const auto found = trials.find(serial); found != trials.end()) use(found->second);
  };
  for (const auto& row : state.arms) with(row.experiment, [&](Trial& trial) { trial.tally.restore(row); });
  for (const auto& row : state.moments) with(row.experiment, [&](Trial& trial) { trial.tally.restore(row); });
  for (const auto& row : state.subjects) stock_.subjects[row.experiment].add(row.subject);
  for (const auto& row : state.trail) {
    const double infinity = std::numeric_limits<double>::infinity();
    with(row.experiment, [&](Trial& trial) {
      trial.trail.push_back(
          {.arm = static_cast<std::size_t>(row.arm),
           .observations = row.observations,
           .interval = {row.estimate, row.lower.value_or(-infinity), row.upper.value_or(infinity)}});
    });
  }
  for (auto& [serial, trial] : trials)
    stock_.trials[serial] = std::make_shared<const Trial>(std::move(trial));
  stock_.waiting = {state.waiting.begin(), state.waiting.end()};
  counters_ = state.counters;
}

void Recorder::count_lost(const store::ExperimentState& state) {
  std::int64_t& written = counters_["taken"];
  const std::int64_t taken = counter_.value();
  if (taken <= written) {
    counter_.set(written);
    return;
  }
  const std::int64_t lost = taken - written;
  written = taken;
  counters_["lost"] += lost;
  telemetry::log_warning("experiments", "{} observations were lost when the server was killed", lost);
  if (const Status done = store_.write({.counters = counters_}); !done) {
    counters_ = state.counters;
    telemetry::log_error("experiments", "{}", done.error().to_string());
  }
}

void Recorder::publish() {
  std::vector<TrialPtr> trials;
  Watches watches;
  for (const auto& [serial, trial] : stock_.trials) {
    trials.push_back(trial);
    if (trial->progress.state != State::kRunning) continue;
    Watch watch{.serial = serial, .versions = {}, .segment_by = trial->definition.segment_by};
    for (const Arm& arm : trial->definition.arms) watch.versions.push_back(arm.version);
    watches[trial->definition.alias] = std::move(watch);
  }
  {
    const MutexLock lock(mutex_);
    trials_ = std::move(trials);
    shown_counters_ = counters_;
    shown_waiting_ = std::ssize(stock_.waiting);
  }
  const MutexLock lock(intake_);
  watches_ = std::make_shared<const Watches>(std::move(watches));
}

Status Recorder::begin(const Definition& definition) {
  if (Status valid = validate(definition); !valid) return valid;
  const MutexLock changing(changes_);
  if (stock_.trials.size() >= kMostTrials)
    return fail(ErrorCode::kConflict,
                fmt::format("there are {} experiments, the most; remove one", kMostTrials));
  for (const auto& [serial, trial] : stock_.trials) {
    if (trial->definition.id == definition.id)
      return fail(ErrorCode::kConflict, fmt::format("there is an experiment '{}' already", definition.id));
    if (trial->progress.state == State::kRunning && trial->definition.alias == definition.alias)
      return fail(ErrorCode::kConflict, fmt::format("the experiment '{}' of alias '{}' runs; stop it first",
                                                    trial->definition.id, definition.alias));
  }
  const Progress progress{.started = dependencies_.now()};
  const Result<std::int64_t> serial = store_.add(row_of(definition, progress));
  if (!serial) return std::unexpected(serial.error());
  stock_.trials[*serial] =
      std::make_shared<const Trial>(Trial{.serial = *serial, .definition = definition, .progress = progress});
  publish();
  return {};
}

Status Recorder::change(const Trial& trial) {
  store::ExperimentRow row = row_of(trial.definition, trial.progress);
  row.serial = trial.serial;
  if (Status done = store_.write({.changed = {row}}); !done) return done;
  stock_.trials[trial.serial] = std::make_shared<const Trial>(trial);
  publish();
  return {};
}

Status Recorder::stop(const std::string& id) {
  write();  // what came before counts
  const MutexLock changing(changes_);
  const Result<TrialPtr> found = find(id);
  if (!found) return std::unexpected(found.error());
  if ((*found)->progress.state != State::kRunning) {
    return fail(ErrorCode::kConflict,
                fmt::format("the experiment '{}' is {}", id, to_string((*found)->progress.state)));
  }
  Trial trial = **found;
  trial.progress.state = State::kStopped;
  trial.progress.ended = dependencies_.now();
  return change(trial);
}

void Recorder::alias_removed(const std::string& alias) {
  for (const TrialPtr& trial : list()) {
    if (trial->definition.alias != alias || trial->progress.state != State::kRunning) continue;
    telemetry::log_info("experiments", "{} is stopped: its alias '{}' was removed", trial->definition.id,
                        alias);
    if (const Status stopped = stop(trial->definition.id); !stopped)
      telemetry::log_warning("experiments", "{}", stopped.error().to_string());
  }
}

Status Recorder::remove(const std::string& id) {
  const MutexLock changing(changes_);
  const Result<TrialPtr> found = find(id);
  if (!found) return std::unexpected(found.error());
  const std::int64_t serial = (*found)->serial;
  if (Status done = store_.remove(serial); !done) return done;
  stock_.trials.erase(serial);
  stock_.subjects.erase(serial);
  publish();
  return {};
}

std::vector<TrialPtr> Recorder::list() const {
  const MutexLock lock(mutex_);
  return trials_;
}

Result<TrialPtr> Recorder::find(const std::string& id) const {
  const std::vector<TrialPtr> trials = list();
  std::vector<std::string> ids;
  for (const TrialPtr& trial : trials) {
    if (trial->definition.id == id) return trial;
    ids.push_back(trial->definition.id);
  }
  return fail(ErrorCode::kNotFound,
              fmt::format("there is no experiment '{}'{}", id, did_you_mean_or_known(id, ids)));
}

Result<Report> Recorder::report(const std::string& id) const {
  const Result<TrialPtr> trial = find(id);
  if (!trial) return std::unexpected(trial.error());
  Verdict verdict = decide((*trial)->definition, (*trial)->tally.whole());
  if ((*trial)->progress.state == State::kDecided) {
    verdict.decision = (*trial)->progress.decision;
    verdict.arm = (*trial)->progress.winner;
  }
  return Report{.trial = *trial, .verdict = std::move(verdict)};
}

Losses Recorder::losses() const {
  Losses losses;
  {
    const MutexLock lock(mutex_);
    const auto& counters = shown_counters_;
    losses = {.written = count_of(counters, "taken") - count_of(counters, "lost"),
              .dropped = count_of(counters, "dropped"),
              .lost = count_of(counters, "lost"),
              .refused = count_of(counters, "refused"),
              .waiting = shown_waiting_,
              .write_error = write_error_};
  }
  const MutexLock lock(intake_);
  losses.queued = static_cast<std::int64_t>(held_);
  losses.dropped += dropped_;
  return losses;
}

Status Recorder::take(Taken taken) {
  const MutexLock lock(intake_);
  if (held_ >= options_.most_queued) {
    ++dropped_;
    return fail(ErrorCode::kUnavailable, "too many observations wait to be written; try again in a moment");
  }
  queue_.push_back(std::move(taken));
  ++held_;
  counter_.add(1);
  return {};
}

std::string Recorder::segment_header(std::string_view alias) const {
  const MutexLock lock(intake_);
  const auto watch = watches_->find(alias);
  return watch == watches_->end() ? std::string() : watch->second.segment_by.header;
}

void Recorder::observe(const Observation& observation) {
  std::shared_ptr<const Watches> watches;
  {
    const MutexLock lock(intake_);
    watches = watches_;
  }
  const auto watch = watches->find(observation.name);
  if (watch == watches->end()) return;
  const auto& versions = watch->second.versions;
  const auto arm = std::ranges::find(versions, observation.version);
  if (arm == versions.end()) return;
  // A loss is counted, and nobody is to be told of it here.
  [[maybe_unused]] const Status taken =
      take(TakenObservation{.row = {.experiment = watch->second.serial,
                                    .arm = arm - versions.begin(),
                                    .segment = segment_of(watch->second.segment_by, observation),
                                    .request_id = observation.request_id,
                                    .at = dependencies_.now(),
                                    .latency = observation.latency,
                                    .first_token = observation.first_token,
                                    .tokens_per_second = observation.tokens_per_second,
                                    .failed = number(observation.failed)},
                            .subject = observation.subject});
}

Status Recorder::feedback(const Feedback& feedback) {
  return take(store::FeedbackRow{.request_id = feedback.request_id,
                                 .at = dependencies_.now(),
                                 .score = feedback.score,
                                 .converted = number(feedback.converted)});
}

void Recorder::write() {
  std::vector<TrialPtr> decided;
  {
    const MutexLock changing(changes_);
    write_queued();
    decided = std::exchange(decided_, {});
  }
  for (const TrialPtr& trial : decided) act(*trial);
  note_moved();
}

void Recorder::write_queued() {
  std::deque<Taken> taken;
  {
    const MutexLock lock(intake_);
    taken.swap(queue_);
    counters_["dropped"] += std::exchange(dropped_, 0);
  }
  std::ranges::move(taken, std::back_inserter(unwritten_));
  if (unwritten_.empty()) return;
  Status done;
  while (done && !unwritten_.empty()) done = write_some();
  note(done);
  bound_waiting();
  publish();
}

void Recorder::note(const Status& written) {
  bool news = false;
  {
    const MutexLock lock(mutex_);
    news = !written && !write_error_;
    write_error_ = written ? std::nullopt : std::optional(written.error());
  }
  if (news) {
    telemetry::log_error("experiments", "observations cannot be written, and are kept for now: {}",
                         written.error().to_string());
  }
}

Status Recorder::write_some() {
  BatchBuilder builder(stock_, store_);
  const std::size_t items = std::min(unwritten_.size(), kMostAtOnce);
  for (std::size_t item = 0; item < items; ++item) {
    if (Status added = builder.add(unwritten_[item]); !added) return added;
  }
  builder.judge(dependencies_.now());
  auto& counters = builder.batch().counters;
  counters = counters_;
  counters["taken"] += static_cast<std::int64_t>(items);
  counters["refused"] += builder.refused();
  if (Status done = store_.write(builder.batch()); !done) return done;
  keep(builder, items);
  for (const std::int64_t serial : builder.decided()) decided_.push_back(stock_.trials.at(serial));
  return {};
}

void Recorder::keep(BatchBuilder& builder, std::size_t items) {
  counters_ = builder.batch().counters;
  for (const auto& [serial, trial] : builder.changed())
    stock_.trials[serial] = std::make_shared<const Trial>(trial);
  for (const auto& row : builder.batch().subjects) stock_.subjects[row.experiment].add(row.subject);
  for (const auto& id : builder.batch().no_longer_waiting) stock_.waiting.erase(id);
  for (const auto& row : builder.batch().waiting) stock_.waiting.insert(row.request_id);
  unwritten_.erase(unwritten_.begin(), unwritten_.begin() + static_cast<std::ptrdiff_t>(items));
  const MutexLock lock(intake_);
  held_ -= items;
}

/// The store lets the oldest go; this follows, now and then.
void Recorder::bound_waiting() {
  const auto most = static_cast<std::size_t>(options_.most_waiting);
  if (stock_.waiting.size() <= most + most / 4) return;
  const Result<std::vector<std::string>> left = store_.waiting_ids();
  if (left) stock_.waiting = {left->begin(), left->end()};
}

void Recorder::act(const Trial& decided) {
  const Move move = move_of(decided);
  telemetry::log_info("experiments", "{}: {} should mean {}", move.why, move.alias, move.version);
  if (!decided.definition.automatic || !dependencies_.move) return;
  dependencies_.move(move, [list = moved_, serial = decided.serial](bool moved) {
    if (moved) list->add(serial);
  });
}

void Recorder::note_moved() {
  const std::vector<std::int64_t> moved = moved_->take();
  const MutexLock changing(changes_);
  for (const std::int64_t serial : moved) {
    const auto found = stock_.trials.find(serial);
    if (found == stock_.trials.end()) continue;  // removed meanwhile
    Trial acted = *found->second;
    acted.progress.acted = true;
    if (const Status done = change(acted); !done)
      telemetry::log_warning("experiments", "{}", done.error().to_string());
  }
}

}  // namespace switchyard::experiments
