#include "health/monitor.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace switchyard::health {
namespace {

constexpr std::size_t kHistory = 20;

double in_ms(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

std::string text_of(const telemetry::Event& event, const char* key) {
  const auto found = event.text.find(key);
  return found == event.text.end() ? std::string() : found->second;
}

Error stuck(const models::VersionRef& ref, const models::HealthSettings& settings) {
  return {ErrorCode::kUnavailable,
          fmt::format("the engine of model '{}' was stuck: its work had not gone on for {:.0f} s",
                      ref.to_string(), in_ms(settings.stuck_after) / 1000)};
}

}  // namespace

Monitor::Monitor(Dependencies dependencies) : dependencies_(std::move(dependencies)) {
  subscription_ = dependencies_.events.subscribe([this](const auto& event) { on_event(event); });
}

Monitor::~Monitor() {
  subscription_ = {};
  const MutexLock lock(mutex_);
  closing_ = true;
  while (tasks_ > 0) idle_.wait(mutex_);
}

void Monitor::run(std::function<void()> work) {
  {
    const MutexLock lock(mutex_);
    if (closing_) return;
    ++tasks_;
  }
  dependencies_.executor.post([this, work = std::move(work)] {
    work();
    const MutexLock lock(mutex_);
    --tasks_;
    idle_.notify_all();
  });
}

void Monitor::tick() {
  const auto running = dependencies_.manager.running();
  Tasks todo;
  {
    const MutexLock lock(mutex_);
    const TimePoint time = dependencies_.clock.now();
    for (const models::RunningEngine& engine : running) look_at(engine, time, todo);
    for (auto& [ref, record] : records_) recover(ref, record, time, todo);
  }
  for (const auto& task : todo) task();
  publish_news();
}

void Monitor::look_at(const models::RunningEngine& engine, TimePoint time, Tasks& todo) {
  const auto found = records_.find(engine.ref);
  if (found == records_.end()) return;
  Record& record = found->second;
  if (engine.activity != nullptr) {
    record.watch = look(record.watch, engine.activity->read(), time);
    if (is_stuck(record.watch, time, engine.settings)) {
      todo.emplace_back([this, engine] {
        (void)dependencies_.manager.mark_broken(engine.ref, stuck(engine.ref, engine.settings),
                                                engine.engine);
      });
      return;
    }
  }
  Proof proof{.now = time, .proven_at = record.proven_at, .leases = engine.leases};
  if (engine.activity != nullptr && !record.watch.seen.working) proof.idle_since = record.watch.since;
  if (record.probing || engine.state != models::State::kHot || !wants_probe(proof, engine.settings)) return;
  record.probing = true;
  todo.emplace_back([this, engine] {
    run([this, ref = engine.ref, settings = engine.settings] { probe(ref, settings); });
  });
}

void Monitor::recover(const models::VersionRef& ref, Record& record, TimePoint time, Tasks& todo) {
  record.next_try.reset();
  if (!record.failed || record.failures.empty() || record.shown.health == Health::kQuarantined) return;
  const auto settings = dependencies_.manager.health_settings(ref.model);
  if (!settings) return;
  const Action action = next_action(
      {.now = time, .failures = record.failures, .loading = record.loading, .jitter = record.jitter},
      *settings);
  switch (action.kind) {
    case Action::Kind::kNone: break;
    case Action::Kind::kWait:
      if (record.was_answering) record.next_try = action.at;
      break;
    case Action::Kind::kLoad:
      if (!record.was_answering) break;
      record.loading = true;
      todo.emplace_back([this, ref] { (void)dependencies_.manager.load(ref); });
      break;
    case Action::Kind::kQuarantine:
      todo.emplace_back([this, ref, reason = record.shown.reason, times = record.failures.size()] {
        quarantine(ref,
                   fmt::format("it failed {} times within ten minutes, the last time so: {}", times, reason));
      });
      break;
  }
}

void Monitor::quarantine(const models::VersionRef& ref, const std::string& reason) {
  if (!dependencies_.manager.quarantine(ref, reason)) return;  // somebody's request has made it hot meanwhile
  {
    const MutexLock lock(mutex_);
    Record& record = records_[ref];
    record.shown.ref = ref;
    set_health(record, {.source = Source::kEngine, .verdict = Health::kQuarantined, .error = reason});
  }
  publish_news();
}

void Monitor::probe(const models::VersionRef& ref, const models::HealthSettings& settings) {
  Finding finding;
  const engine::Engine* engine = nullptr;
  std::string error;
  {
    const auto lease = dependencies_.manager.acquire_blocking(
        ref, {.make_hot = models::MakeHot::kNothing, .use = models::Use::kProbe});
    if (!lease) {
      const MutexLock lock(mutex_);
      if (const auto found = records_.find(ref); found != records_.end()) found->second.probing = false;
      return;
    }
    engine = &lease->engine();
    const auto activity = lease->engine().activity();
    const auto before = activity == nullptr ? engine::LoopActivity::Reading{} : activity->read();
    const TimePoint began = dependencies_.clock.now();
    const Status answer =
        lease->engine().probe(std::chrono::ceil<std::chrono::milliseconds>(settings.degraded));
    finding.answered = answer.has_value();
    finding.latency = dependencies_.clock.now() - began;
    finding.went_on = activity != nullptr && activity->read() != before;
    finding.was_idle = activity != nullptr && !before.working;
    const auto standing = dependencies_.manager.standing(ref);
    finding.had_company = lease->revoked().stop_requested() || (standing && standing->leases > 1);
    if (!answer) error = answer.error().to_string();
  }
  note_probe(ref, engine, finding, error, settings);
}

void Monitor::note_probe(const models::VersionRef& ref, const engine::Engine* engine, const Finding& finding,
                         const std::string& error, const models::HealthSettings& settings) {
  bool broken = false;
  ProbeObserver observer;
  {
    const MutexLock lock(mutex_);
    const auto found = records_.find(ref);
    if (found == records_.end()) return;
    Record& record = found->second;
    record.probing = false;
    record.proven_at = dependencies_.clock.now();
    if (const auto verdict = judge(finding, settings)) {
      record.shown.failed_probes = *verdict == Health::kFailed ? record.shown.failed_probes + 1 : 0;
      broken = is_broken(finding, record.shown.failed_probes, settings);
      set_health(record, {.source = Source::kProbe,
                          .verdict = *verdict,
                          .latency = finding.answered ? std::optional(finding.latency) : std::nullopt,
                          .error = error});
    }
    if (finding.answered) observer = observer_;
  }
  publish_news();
  if (observer) observer(ref, finding.latency);
  if (!broken) return;
  (void)dependencies_.manager.mark_broken(
      ref,
      {ErrorCode::kUnavailable, "the engine of model '" + ref.to_string() + "' has ceased to answer", error},
      engine);
}

void Monitor::note_reply(const models::VersionRef& ref, Duration latency) {
  const auto settings = dependencies_.manager.health_settings(ref.model);
  if (!settings) return;
  {
    const MutexLock lock(mutex_);
    const auto found = records_.find(ref);
    if (found == records_.end() || found->second.shown.health == Health::kQuarantined) return;
    Record& record = found->second;
    record.proven_at = dependencies_.clock.now();
    record.shown.failed_probes = 0;
    const Health verdict = after_reply(record.shown.health, latency, *settings);
    if (verdict == record.shown.health) return;
    set_health(record, {.source = Source::kReply, .verdict = verdict, .latency = latency});
  }
  run([this] { publish_news(); });
}

void Monitor::set_health(Record& record, const Check& check) {
  Check& kept = record.history.emplace_front(check);
  kept.at = std::chrono::system_clock::now();
  if (record.history.size() > kHistory) record.history.pop_back();
  if (check.latency) record.shown.latency = check.latency;
  record.shown.reason = check.error;
  const Health before = std::exchange(record.shown.health, check.verdict);
  if (before == check.verdict) return;
  record.shown.since = kept.at;
  telemetry::Event event;
  event.type = "health";
  event.model = record.shown.ref.model;
  event.version = record.shown.ref.version;
  event.text = {{"from", std::string(to_string(before))},
                {"to", std::string(to_string(check.verdict))},
                {"source", std::string(to_string(check.source))}};
  if (!check.error.empty()) event.text["error"] = check.error;
  if (check.latency) event.numbers["latency_ms"] = in_ms(*check.latency);
  news_.push_back(std::move(event));
}

void Monitor::publish_news() {
  const MutexLock in_order(publishing_);
  std::vector<telemetry::Event> news;
  {
    const MutexLock lock(mutex_);
    news = std::exchange(news_, {});
  }
  for (telemetry::Event& event : news) dependencies_.events.publish(std::move(event));
}

/// On the publisher's thread: notes it, and leaves what follows to a task.
void Monitor::on_event(const telemetry::Event& event) {
  const bool catalog_changed = event.type == "models_reload";
  const bool failed = event.type == "state" && text_of(event, "to") == "failed";
  if (event.type == "state") {
    const MutexLock lock(mutex_);
    note_state(event);
  }
  if (catalog_changed) {
    run([this] {
      {
        const MutexLock lock(mutex_);
        forget_what_left();
      }
      publish_news();
    });
  }
  if (failed) run([this] { tick(); });
}

void Monitor::note_state(const telemetry::Event& event) {
  const models::VersionRef ref{event.model, event.version};
  const std::string from = text_of(event, "from"), to = text_of(event, "to"), cause = text_of(event, "cause");
  const bool is_new = !records_.contains(ref);
  if (is_new && to != "hot" && to != "failed") return;
  Record& record = records_[ref];
  record.shown.ref = ref;
  if (is_new) record.shown.since = std::chrono::system_clock::now();
  record.loading = to == "loading" || to == "warming";
  record.failed = to == "failed";
  if (to == "hot" && from == "warming") {
    if (std::exchange(record.was_answering, false)) ++record.shown.restarts;
    record.watch = {};
    record.proven_at.reset();
    record.shown.failed_probes = 0;
    if (record.shown.health != Health::kUnknown)
      set_health(record, {.source = Source::kEngine, .verdict = Health::kUnknown});
  } else if (to == "failed") {
    record.was_answering |= from == "hot" || from == "draining";
    // A bad file is told to whoever asks for it; only a load is tried, and has failed.
    if (record.was_answering || cause == "broken" || cause == "the load failed") note_failure(record);
    if (record.shown.health != Health::kQuarantined)
      set_health(record,
                 {.source = Source::kEngine, .verdict = Health::kFailed, .error = text_of(event, "error")});
  } else if (to == "cold" || to == "parked") {
    record.was_answering = false;
    if (record.shown.health != Health::kUnknown && record.shown.health != Health::kQuarantined)
      set_health(record, {.source = Source::kEngine, .verdict = Health::kUnknown});
  }
}

void Monitor::note_failure(Record& record) {
  const TimePoint time = dependencies_.clock.now();
  std::erase_if(record.failures, [&](TimePoint at) { return time - at >= kMemory; });
  record.failures.push_back(time);
  record.jitter = dependencies_.random();
}

/// Of what is catalogued no more nothing is known, and a changed version is another one.
void Monitor::forget_what_left() {
  std::erase_if(records_, [this](const auto& entry) {
    const auto standing = dependencies_.manager.standing(entry.first);
    return !standing || (entry.second.shown.health == Health::kQuarantined && !standing->quarantined);
  });
}

Status Monitor::release(const models::VersionRef& ref) {
  const Status released = dependencies_.manager.end_quarantine(ref);
  if (!released) return released;
  {
    const MutexLock lock(mutex_);
    if (const auto found = records_.find(ref); found != records_.end()) {
      found->second.failures.clear();
      found->second.was_answering = false;
      set_health(found->second, {.source = Source::kEngine, .verdict = Health::kUnknown});
    }
  }
  publish_news();
  return {};
}

void Monitor::observe_probes(ProbeObserver observer) {
  const MutexLock lock(mutex_);
  observer_ = std::move(observer);
}

std::map<models::VersionRef, VersionHealth> Monitor::list() const {
  std::map<models::VersionRef, VersionHealth> all;
  const MutexLock lock(mutex_);
  const TimePoint time = dependencies_.clock.now();
  for (const auto& [ref, record] : records_) {
    VersionHealth health = record.shown;
    health.failures = static_cast<std::uint32_t>(
        std::ranges::count_if(record.failures, [&](TimePoint at) { return time - at < kMemory; }));
    if (record.next_try) health.next_try_in = std::max<Duration>(*record.next_try - time, Duration::zero());
    health.history.assign(record.history.begin(), record.history.end());
    all.emplace(ref, std::move(health));
  }
  return all;
}

std::map<models::VersionRef, Health> Monitor::verdicts() const {
  std::map<models::VersionRef, Health> all;
  const MutexLock lock(mutex_);
  for (const auto& [ref, record] : records_) all.emplace(ref, record.shown.health);
  return all;
}

}  // namespace switchyard::health
