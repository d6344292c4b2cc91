#include "traffic/canaries.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "telemetry/log.h"
#include "traffic/switch_record.h"

namespace switchyard::traffic {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr std::array<std::string_view, 6> kStates = {"running",     "paused",  "promoted",
                                                     "rolled_back", "aborted", "ended"};

CanaryState state_of(std::string_view word) {
  for (std::size_t i = 0; i < kStates.size(); ++i) {
    if (kStates[i] == word) return static_cast<CanaryState>(i);
  }
  return CanaryState::kEnded;
}

bool is_going(CanaryState state) { return state == CanaryState::kRunning || state == CanaryState::kPaused; }

SwitchOptions asked_by(const std::string& who, std::string why) {
  SwitchOptions options;
  options.who = who;
  options.why = std::move(why);
  return options;
}

std::int64_t now_ms() {
  return std::chrono::duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

/// A move that gave way to somebody's is tried again with the next look: every second of a long load.
void log_refused(const std::string& alias, std::string_view what, const Error& error) {
  const bool tries_again = error.code == ErrorCode::kConflict;
  telemetry::log_line(tries_again ? telemetry::LogLevel::kDebug : telemetry::LogLevel::kError, "traffic",
                      fmt::format("the canary of '{}' {}: {}", alias, what, error.to_string()));
}

system_clock::time_point to_time(std::int64_t ms) { return system_clock::time_point(milliseconds(ms)); }

}  // namespace

std::string_view to_string(CanaryState state) noexcept { return kStates[static_cast<std::size_t>(state)]; }

Canaries::Canaries(Dependencies dependencies)
    : dependencies_(dependencies), store_(dependencies.state), strand_(dependencies.executor) {
  load();
  subscription_ = dependencies_.events.subscribe([this](const telemetry::Event& event) { on_event(event); });
}

Canaries::~Canaries() {
  subscription_ = {};
  gate_->close();  // the switcher, which lives longer, may still have to tell of a switch
  strand_.finish();
}

void Canaries::load() {
  const auto rows = store_.newest();
  if (!rows) {
    telemetry::log_error("traffic", "the canaries cannot be read: {}", rows.error().to_string());
    return;
  }
  const MutexLock lock(mutex_);
  for (const store::CanaryRow& row : *rows) {
    Canary canary{.row = row,
                  .stable = to_ref(row.stable),
                  .canary = to_ref(row.canary),
                  .plan = parse_plan(row.plan),
                  .state = state_of(row.state),
                  .step_began = dependencies_.clock.now(),
                  .figures = nullptr};
    canary.figures = std::make_shared<CanaryFigures>(canary.stable, canary.canary);
    canaries_.emplace(row.alias, std::move(canary));
  }
}

double Canaries::percent_of(const Canary& canary) const {
  if (canary.state == CanaryState::kPromoted) return 100;
  return is_going(canary.state) ? canary.plan.steps[static_cast<std::size_t>(canary.row.step)] : 0;
}

CanaryStatus Canaries::status_of(const Canary& canary) const {
  return {
      .alias = canary.row.alias,
      .stable = canary.stable,
      .canary = canary.canary,
      .plan = canary.plan,
      .state = canary.state,
      .step = static_cast<std::size_t>(canary.row.step),
      .percent = percent_of(canary),
      .who = canary.row.who,
      .started = to_time(canary.row.started),
      .ended = to_time(canary.row.ended),
      .in_step = is_going(canary.state) ? dependencies_.clock.now() - canary.step_began : Duration::zero(),
      .canary_figures = canary.figures->canary(),
      .stable_figures = canary.figures->stable()};
}

CanaryStatus Canaries::status_now(const std::string& alias) const {
  const MutexLock lock(mutex_);
  return status_of(canaries_.at(alias));
}

void Canaries::start(Request request, Done done) {
  strand_.post([this, request = std::move(request), done = std::move(done)] { start_now(request, done); });
}

void Canaries::start_now(Request request, Done done) {
  if (const Status checked = check_plan(request.plan); !checked)
    return done(std::unexpected(checked.error()));
  const auto alias = dependencies_.switcher.describe(request.alias);
  if (!alias) return done(std::unexpected(alias.error()));
  request.alias = alias->alias.name;
  end_if_moved(request.alias);
  const auto to = dependencies_.switcher.resolve(request.to);
  if (!to) return done(std::unexpected(to.error()));
  {
    const MutexLock lock(mutex_);
    const auto found = canaries_.find(request.alias);
    if (found != canaries_.end() && is_going(found->second.state)) {
      return done(
          fail(ErrorCode::kConflict, fmt::format("'{}' has a canary already, '{}': promote or abort it first",
                                                 request.alias, found->second.canary.to_string())));
    }
  }
  const models::VersionRef stable = alias->alias.to;
  if (!alias->alias.split.empty()) {
    return done(fail(ErrorCode::kConflict,
                     "'" + request.alias + "' is split: point it at one version before a canary begins"));
  }
  if (*to == stable) {
    return done(fail(ErrorCode::kInvalidArgument,
                     "'" + request.alias + "' means '" + stable.to_string() + "' already"));
  }
  const double percent = request.plan.steps.front();
  dependencies_.switcher.move(
      {.alias = request.alias,
       .to = {},
       .options = asked_by(request.who, fmt::format("canary: {:g} %", percent)),
       .split = SplitSpec{.arms = {{stable.to_string(), 100 - percent}, {to->to_string(), percent}},
                          .sticky_header = request.sticky_header},
       .done = [this, gate = gate_, request, stable, to = *to, done](const SwitchReport& report) {
         gate->pass([&] {
           strand_.post(
               [this, request, stable, to, report, done] { started(request, stable, to, report, done); });
         });
       }});
}

void Canaries::started(const Request& request, const models::VersionRef& stable,
                       const models::VersionRef& canary, const SwitchReport& report, const Done& done) {
  if (report.error) return done(std::unexpected(*report.error));
  Canary one{.row = {.alias = request.alias,
                     .stable = stable.to_string(),
                     .canary = canary.to_string(),
                     .plan = to_text(request.plan),
                     .state = std::string(to_string(CanaryState::kRunning)),
                     .who = request.who,
                     .started = now_ms()},
             .stable = stable,
             .canary = canary,
             .plan = request.plan,
             .step_began = dependencies_.clock.now(),
             .figures = std::make_shared<CanaryFigures>(stable, canary)};
  {
    const MutexLock lock(mutex_);
    canaries_.insert_or_assign(request.alias, std::move(one));
  }
  note(request.alias, "start", request.why, request.who);
  done(status_now(request.alias));
}

void Canaries::command(const std::string& alias, Command command, const std::string& who, Done done) {
  strand_.post(
      [this, alias, command, who, done = std::move(done)] { command_now(alias, command, who, done); });
}

void Canaries::command_now(const std::string& name, Command command, const std::string& who,
                           const Done& done) {
  const auto alias = dependencies_.switcher.describe(name);
  if (!alias) return done(std::unexpected(alias.error()));
  const std::string key = alias->alias.name;
  end_if_moved(key);
  std::optional<Error> refused;
  {
    const MutexLock lock(mutex_);
    const auto found = canaries_.find(key);
    if (found == canaries_.end()) {
      refused = Error{ErrorCode::kNotFound, "'" + key + "' has no canary"};
    } else if (!is_going(found->second.state)) {
      refused = Error{ErrorCode::kConflict,
                      fmt::format("the canary of '{}' has ended: {}", key, to_string(found->second.state))};
    } else if (found->second.moving) {
      refused = Error{ErrorCode::kConflict,
                      "the canary of '" + key + "' is just being moved; try again in a moment"};
    }
  }
  if (refused) return done(std::unexpected(*refused));
  if (command == Command::kPromote) return promote(key, "asked for", who, done);
  if (command == Command::kAbort) return give_back(key, CanaryState::kAborted, "asked for", who, done);
  const bool pauses = command == Command::kPause;
  const std::string_view what = pauses ? "pause" : "resume";
  const CanaryState state = pauses ? CanaryState::kPaused : CanaryState::kRunning;
  if (const Status kept = keep(key, what, "asked for", who, state); !kept)
    return done(std::unexpected(kept.error()));
  {
    const MutexLock lock(mutex_);
    Canary& canary = canaries_.at(key);
    canary.state = state;
    canary.step_began = dependencies_.clock.now();
    canary.figures->begin_step();
  }
  tell(key, what, "asked for", who);
  done(status_now(key));
}

void Canaries::observe(const std::string& alias, const CanaryObservation& observation) {
  std::shared_ptr<CanaryFigures> figures;
  {
    const MutexLock lock(mutex_);
    const auto found = canaries_.find(alias);
    if (found == canaries_.end() || !is_going(found->second.state)) return;
    figures = found->second.figures;
  }
  figures->observe(observation);
}

void Canaries::on_event(const telemetry::Event& event) {
  if (event.type != "health") return;
  const auto to = event.text.find("to");
  if (to == event.text.end() || (to->second != "failed" && to->second != "quarantined")) return;
  const models::VersionRef version{event.model, event.version};
  const MutexLock lock(mutex_);
  for (const auto& [alias, canary] : canaries_) {
    if (is_going(canary.state)) canary.figures->count_failed_probe(version);
  }
}

void Canaries::tick() {
  strand_.post([this] {
    std::vector<std::string> due;
    {
      const MutexLock lock(mutex_);
      for (const auto& [alias, canary] : canaries_) {
        if (is_going(canary.state) && !canary.moving) due.push_back(alias);
      }
    }
    for (const std::string& alias : due) look_at(alias);
  });
}

/// Whether the alias is still shared as the canary left it.
bool Canaries::is_as_left(const std::string& alias) const {
  const auto split = dependencies_.switcher.split_of(alias);
  if (split == nullptr || split->arms.size() != 2) return false;
  const MutexLock lock(mutex_);
  const Canary& canary = canaries_.at(alias);
  return split->arms[0].to == canary.stable && split->arms[1].to == canary.canary;
}

bool Canaries::end_if_moved(const std::string& alias) {
  {
    const MutexLock lock(mutex_);
    const auto found = canaries_.find(alias);
    if (found == canaries_.end() || !is_going(found->second.state) || found->second.moving) return false;
  }
  if (is_as_left(alias)) return false;
  const auto now = dependencies_.switcher.describe(alias);
  if (now && now->followed_files && now->alias.split.size() == 2) {
    follow_files(alias);
    return true;
  }
  {
    const MutexLock lock(mutex_);
    end(canaries_.at(alias), CanaryState::kEnded);
  }
  note(alias, "end", "the alias was moved otherwise", "server");
  return true;
}

/// Its versions are others now: nobody has compared them, so all of it goes to the stable one's successor.
void Canaries::follow_files(const std::string& alias) {
  const auto split = dependencies_.switcher.split_of(alias);
  if (split == nullptr || split->arms.size() != 2) return;  // the next look ends it
  {
    const MutexLock lock(mutex_);
    Canary& canary = canaries_.at(alias);
    canary.stable = split->arms[0].to;
    canary.canary = split->arms[1].to;
    canary.figures = std::make_shared<CanaryFigures>(canary.stable, canary.canary);
  }
  give_back(alias, CanaryState::kRolledBack, "a file behind it was replaced", "server", {});
}

void Canaries::look_at(const std::string& alias) {
  if (end_if_moved(alias)) return;
  CanaryDecision decision;
  {
    const MutexLock lock(mutex_);
    const Canary& canary = canaries_.at(alias);
    if (canary.state == CanaryState::kRunning) {
      decision = decide(canary.plan, dependencies_.clock.now() - canary.step_began, canary.figures->canary(),
                        canary.figures->stable());
    }
  }
  if (decision.move == CanaryMove::kAdvance) go_on(alias, decision.reason, "server", {});
  if (decision.move == CanaryMove::kRollBack)
    give_back(alias, CanaryState::kRolledBack, decision.reason, "server", {});
}

void Canaries::end(Canary& canary, CanaryState state) {
  canary.state = state;
  canary.row.ended = now_ms();
}

void Canaries::go_on(const std::string& alias, const std::string& reason, const std::string& who,
                     const Done& done) {
  SplitSpec split;
  double percent = 0;
  bool is_last = false;
  {
    const MutexLock lock(mutex_);
    const Canary& canary = canaries_.at(alias);
    const auto next = static_cast<std::size_t>(canary.row.step) + 1;
    is_last = next >= canary.plan.steps.size();
    if (!is_last) {
      percent = canary.plan.steps[next];
      split.arms = {{canary.stable.to_string(), 100 - percent}, {canary.canary.to_string(), percent}};
    }
  }
  if (is_last) return promote(alias, reason, who, done);
  move(alias,
       {.alias = alias,
        .to = {},
        .options = asked_by(who, fmt::format("canary: {:g} %; {}", percent, reason)),
        .split = std::move(split),
        .yields = true},
       [this, alias, reason, who](const SwitchReport& report) {
         if (report.error) return log_refused(alias, "does not go on", *report.error);
         {
           const MutexLock lock(mutex_);
           Canary& canary = canaries_.at(alias);
           ++canary.row.step;
           canary.step_began = dependencies_.clock.now();
           canary.figures->begin_step();
         }
         note(alias, "advance", reason, who);
       });
}

void Canaries::promote(const std::string& alias, const std::string& reason, const std::string& who,
                       const Done& done) {
  std::string to;
  {
    const MutexLock lock(mutex_);
    to = canaries_.at(alias).canary.to_string();
  }
  move(alias,
       {.alias = alias, .to = to, .options = asked_by(who, "canary promoted: " + reason), .yields = !done},
       [this, alias, reason, who, done](const SwitchReport& report) {
         if (report.error) {
           log_refused(alias, "is not promoted", *report.error);
           if (done) done(std::unexpected(*report.error));
           return;
         }
         {
           const MutexLock lock(mutex_);
           end(canaries_.at(alias), CanaryState::kPromoted);
         }
         note(alias, "promote", reason, who);
         if (done) done(status_now(alias));
       });
}

void Canaries::give_back(const std::string& alias, CanaryState state, const std::string& reason,
                         const std::string& who, const Done& done) {
  const std::string why =
      (state == CanaryState::kAborted ? "canary aborted: " : "canary rolled back: ") + reason;
  move(alias,
       {.alias = alias, .to = {}, .options = asked_by(who, why), .kind = Kind::kRollback, .yields = !done},
       [this, alias, state, reason, who, done](const SwitchReport& report) {
         if (report.error) {
           log_refused(alias, "is not rolled back", *report.error);
           if (done) done(std::unexpected(*report.error));
           return;
         }
         {
           const MutexLock lock(mutex_);
           end(canaries_.at(alias), state);
         }
         note(alias, state == CanaryState::kAborted ? "abort" : "roll_back", reason, who);
         if (done) done(status_now(alias));
       });
}

/// Moves the alias; `then` runs on the strand. Nothing else is decided of its canary meanwhile.
void Canaries::move(const std::string& alias, SwitchRequest request,
                    std::function<void(const SwitchReport&)> then) {
  {
    const MutexLock lock(mutex_);
    Canary& canary = canaries_.at(alias);
    canary.moving = true;
    request.only_if_split_over = {canary.stable, canary.canary};
  }
  request.done = [this, gate = gate_, alias, then = std::move(then)](const SwitchReport& report) {
    gate->pass([&] {
      strand_.post([this, alias, then, report] {
        {
          const MutexLock lock(mutex_);
          canaries_.at(alias).moving = false;
        }
        then(report);
      });
    });
  };
  dependencies_.switcher.move(std::move(request));
}

/// Keeps what was decided, and tells it.
void Canaries::note(const std::string& alias, std::string_view move, const std::string& reason,
                    const std::string& who) {
  if (const Status kept = keep(alias, move, reason, who); !kept)
    telemetry::log_error("traffic", "what was decided of the canary of '{}' is not kept: {}", alias,
                         kept.error().to_string());
  tell(alias, move, reason, who);
}

/// With the state that it is to have, where that is another than it has.
Status Canaries::keep(const std::string& alias, std::string_view move, const std::string& reason,
                      const std::string& who, std::optional<CanaryState> state) {
  store::CanaryRow row;
  double percent = 0;
  {
    const MutexLock lock(mutex_);
    const Canary& canary = canaries_.at(alias);
    row = canary.row;
    row.stable = canary.stable.to_string();
    row.canary = canary.canary.to_string();
    row.state = to_string(state.value_or(canary.state));
    percent = percent_of(canary);
  }
  const store::CanaryDecisionRow decision{
      .at = now_ms(), .move = std::string(move), .reason = reason, .who = who, .percent = percent};
  if (Status kept = store_.put(row, decision); !kept) return kept;
  const MutexLock lock(mutex_);
  canaries_.at(alias).row = row;
  return {};
}

void Canaries::tell(const std::string& alias, std::string_view move, const std::string& reason,
                    const std::string& who) {
  double percent = 0;
  models::VersionRef version;
  std::string_view state;
  {
    const MutexLock lock(mutex_);
    const Canary& canary = canaries_.at(alias);
    percent = percent_of(canary);
    version = canary.canary;
    state = to_string(canary.state);
  }
  telemetry::log_info("traffic", "canary of '{}', {}: {} ({:g} %): {}", alias, version.to_string(), move,
                      percent, reason);
  telemetry::Event event;
  event.type = "canary";
  event.model = version.model;
  event.version = version.version;
  event.text = {{"alias", alias},
                {"move", std::string(move)},
                {"reason", reason},
                {"who", who},
                {"state", std::string(state)}};
  event.numbers = {{"percent", percent}};
  dependencies_.events.publish(std::move(event));
}

std::vector<CanaryStatus> Canaries::list() const {
  std::vector<CanaryStatus> all;
  const MutexLock lock(mutex_);
  for (const auto& [alias, canary] : canaries_) all.push_back(status_of(canary));
  return all;
}

Result<CanaryStatus> Canaries::describe(const std::string& name) const {
  const auto alias = dependencies_.switcher.describe(name);
  if (!alias) return std::unexpected(alias.error());
  std::optional<CanaryStatus> status;
  std::int64_t id = 0;
  {
    const MutexLock lock(mutex_);
    const auto found = canaries_.find(alias->alias.name);
    if (found != canaries_.end()) {
      status = status_of(found->second);
      id = found->second.row.id;
    }
  }
  if (!status) return fail(ErrorCode::kNotFound, "'" + alias->alias.name + "' has had no canary");
  const auto rows = store_.decisions(id);
  if (!rows) return std::unexpected(rows.error());
  for (const store::CanaryDecisionRow& row : *rows)
    status->lines.push_back({to_time(row.at), row.move, row.reason, row.who, row.percent});
  return *std::move(status);
}

}  // namespace switchyard::traffic
