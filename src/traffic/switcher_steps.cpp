#include <algorithm>
#include <chrono>
#include <utility>

#include "telemetry/log.h"
#include "traffic/switch_record.h"
#include "traffic/switcher_impl.h"

// The life of a switch, step by step. On the strand.

namespace switchyard::traffic {
namespace {

constexpr std::size_t kMostPrevious = 32;

std::string serving_text(const models::VersionRef& from) {
  return from.model.empty() ? "there is no such alias" : "'" + from.to_string() + "' goes on serving";
}

}  // namespace

void Switcher::Impl::refuse(const SwitchRequest& request, const Error& error) {
  if (!request.done) return;
  SwitchReport report{.alias = request.alias, .kind = request.kind, .from = {}, .to = {}, .phases = {}};
  report.outcome = Outcome::kFailed;
  report.error = error;
  if (const auto now_means = table_.find(request.alias)) report.serving = report.from = now_means->to;
  request.done(report);
}

Status Switcher::Impl::check_conditions(const SwitchRequest& request, const Name* name) const {
  if (request.yields && name != nullptr && name->current != nullptr) {
    return fail(ErrorCode::kConflict,
                "a switch of '" + request.alias + "' to '" + name->current->report.to.to_string() + "' runs");
  }
  const Error moved{ErrorCode::kConflict, "'" + request.alias + "' was moved otherwise"};
  if (!request.only_if_within.empty()) {
    const auto is_one = [&](const models::VersionRef& ref) {
      return std::ranges::find(request.only_if_within, ref) != request.only_if_within.end();
    };
    if (name == nullptr || !name->live || !is_one(name->to)) return std::unexpected(moved);
    if (name->split != nullptr && !std::ranges::all_of(name->split->arms, is_one, &Arm::to))
      return std::unexpected(moved);
  }
  if (request.only_if_split_over.empty()) return {};
  const auto is_arm = [&](const models::VersionRef& ref) {
    return std::ranges::find(name->split->arms, ref, &Arm::to) != name->split->arms.end();
  };
  const bool is_split = name != nullptr && name->live && name->split != nullptr;
  if (is_split && std::ranges::all_of(request.only_if_split_over, is_arm)) return {};
  return std::unexpected(moved);
}

void Switcher::Impl::start(SwitchRequest request, std::string defined) {
  if (closing_) return refuse(request, {ErrorCode::kUnavailable, "the server is shutting down"});
  const auto key = key_of(request.alias, request.when_missing);
  if (!key) return refuse(request, key.error());
  const auto known = names_.find(*key);
  const Name* const before = known == names_.end() ? nullptr : &known->second;
  if (const Status may = check_conditions(request, before); !may) return refuse(request, may.error());
  std::optional<Split> split;
  if (request.split) {
    auto divided = split_for(*request.split, before, *key);
    if (!divided) return refuse(request, divided.error());
    split = *std::move(divided);
  }
  const auto to =
      split ? Result<models::VersionRef>(split->arms.front().to) : target_of(request, before, *key);
  if (!to) return refuse(request, to.error());
  if (request.fallbacks) {
    if (const auto checked = check_fallbacks(*key, *request.fallbacks); !checked)
      return refuse(request, checked.error());
  }

  const auto one = std::make_shared<Switch>();
  one->request = std::move(request);
  one->name = *key;
  one->defined = std::move(defined);
  SwitchReport& report = one->report;
  const bool is_model = is_models_name(before, *key);
  if (before != nullptr && before->live) report.from = before->to;
  if (report.from.model.empty() && is_model) report.from = dependencies_.manager.resolve(*key).value_or(*to);
  report.alias = *key;
  report.kind = report.from.model.empty()                     ? Kind::kCreate
                : split && one->request.kind == Kind::kSwitch ? Kind::kSplit
                                                              : one->request.kind;
  if (split) {
    report.split = split->arms;
    for (const Arm& arm : split->arms) {
      if (!proven_.contains(arm.to)) one->to_prove.push_back(arm.to);
    }
    one->split = std::move(split);
  }
  report.to = *to;
  report.serving = report.from;
  report.policy = one->request.options.policy;
  report.keep_old = one->request.options.keep_old;
  report.who = one->request.options.who;
  report.why = one->request.options.why;
  report.started = std::chrono::system_clock::now();
  const auto id = store_.begin(to_row(report));
  if (!id) {
    return refuse(one->request,
                  {ErrorCode::kUnavailable, "the switch cannot be recorded, so it was not begun",
                   id.error().to_string()});
  }
  report.id = *id;

  Name& name = names_[*key];
  if (name.row.name.empty() || (is_model && !name.is_model)) {
    name.row = {};  // of an alias that rested
    name.row.name = *key;
    name.row.kind = is_model ? "model" : "alias";
    name.is_model = is_model;
    if (is_model) name.newest = dependencies_.manager.resolve(*key).value_or(*to).version;
  }
  one->newest = name.newest;
  if (const SwitchPtr older = name.current) {
    name.current = one;  // so that what waits for the older one waits on, if it has to
    open_switch(one);
    end(older, Outcome::kSuperseded,
        Error{ErrorCode::kConflict, "the switch of '" + *key + "' to '" + older->report.to.to_string() +
                                        "' was superseded by one to '" + to->to_string() + "' in its phase " +
                                        std::string(to_string(older->report.phase)) + "; " +
                                        serving_text(report.from)});
    return;
  }
  name.current = one;
  open_switch(one);
}

Situation Switcher::Impl::situation_of(const Switch& one) const {
  const models::VersionRef& from = one.report.from;
  Situation situation{.policy = one.report.policy,
                      .keep_old = one.report.keep_old,
                      .new_state = state_of(one.report.to),
                      .same_version = from == one.report.to || from.model.empty()};
  if (const auto old = dependencies_.manager.standing(from)) {
    situation.old_state = old->state;
    situation.old_is_pinned = old->pinned;
  }
  situation.old_has_other_names = std::ranges::any_of(names_, [&](const auto& entry) {
    const auto& [key, name] = entry;
    if (key == one.name)
      return one.split && std::ranges::find(one.split->arms, from, &Arm::to) != one.split->arms.end();
    return !name.is_model && means(name, from);
  });
  return situation;
}

void Switcher::Impl::open_switch(const SwitchPtr& one) {
  active_.push_back(one);
  const models::VersionRef from = one->report.from;
  const Situation situation = situation_of(*one);
  one->old_was_hot = situation.old_state == models::State::kHot;
  one->phase_since = now();
  enter(*one, Phase::kAdmit, now());
  if (one->request.begun) one->request.begun(one->report);
  if (opening(situation) == Opening::kSendOldAway) {
    one->holds = true;
    refresh();
    dependencies_.manager.inspect(
        one->report.to, [weak = weak_from_this(), one](const Result<engine::Inspection>& inspection) {
          if (const auto self = weak.lock()) {
            self->strand_.post([self = self.get(), one, inspection] { self->inspected(one, inspection); });
          }
        });
    return;
  }
  if (!situation.same_version && one->old_was_hot) one->keep = dependencies_.manager.keep(from);
  // A model's name that follows its newest version: nothing serves meanwhile, so its requests wait.
  one->holds = one->report.kind == Kind::kUpgrade && !one->old_was_hot &&
               situation.old_state != models::State::kParked &&
               situation.old_state != models::State::kDraining;
  refresh();
  acquire(one);
}

void Switcher::Impl::inspected(const SwitchPtr& one, const Result<engine::Inspection>& inspection) {
  if (one->over) return;
  if (!inspection) return fail_before_flip(one, inspection.error());
  const auto preview = dependencies_.manager.preview(one->report.to, {.goes = one->report.from});
  if (preview && preview->refusal) return fail_before_flip(one, *preview->refusal);
  const auto to = old_goes_to(situation_of(*one));
  if (!to) return acquire(one);
  send_old_away(one, *to);
}

void Switcher::Impl::send_old_away(const SwitchPtr& one, models::Residency to) {
  const SwitchOptions& options = one->request.options;
  one->sent_away = true;
  enter(*one, Phase::kDrain, now());
  const Status begun = dependencies_.manager.leave(
      one->report.from,
      {.to = to,
       .bound = options.drain_timeout,
       .at_bound = options.force ? models::AtBound::kRevoke : models::AtBound::kReport,
       .drained = posted([one](Impl& self) {
         if (!one->over && !one->flipped) self.enter(*one, Phase::kSettle, self.now());
       })},
      [weak = weak_from_this(), one](const Status& status) {
        if (const auto self = weak.lock())
          self->strand_.post([self = self.get(), one, status] { self->old_left(one, status); });
      });
  if (!begun) old_left(one, begun);
}

void Switcher::Impl::old_left(const SwitchPtr& one, const Status& status) {
  if (one->over) return;
  if (status) return acquire(one);
  Error error = status.error();
  if (error.code == ErrorCode::kTimeout) {
    error.message = "'" + one->report.from.to_string() + "' still answers " +
                    std::to_string(leases_of(one->report.from)) +
                    " requests at the drain timeout; wait longer, or force ends them";
  }
  fail_before_flip(one, std::move(error));
}

/// Of a split every arm that has not answered yet is made to, one after the other: there may be room for one.
void Switcher::Impl::acquire(const SwitchPtr& one) {
  if (one->split && one->to_prove.empty()) return flip(one);
  one->ticket = dependencies_.manager.acquire(
      one->split ? one->to_prove.back() : one->report.to, {.ends_unwanted_load = true},
      [weak = weak_from_this(), one](Result<models::Lease> lease) {
        // Shared, because tasks can be copied and a lease cannot.
        const auto answer = std::make_shared<Result<models::Lease>>(std::move(lease));
        if (const auto self = weak.lock())
          self->strand_.post([self = self.get(), one, answer] { self->loaded(one, std::move(*answer)); });
      });
}

void Switcher::Impl::loaded(const SwitchPtr& one, Result<models::Lease> lease) {
  if (one->over) return;
  if (!lease) return fail_before_flip(one, lease.error());
  if (one->split) {
    lease->release();
    one->to_prove.pop_back();
    return acquire(one);
  }
  one->lease = std::move(*lease);
  flip(one);
}

void Switcher::Impl::fail_before_flip(const SwitchPtr& one, Error error) {
  const SwitchReport& report = one->report;
  const bool besides = report.policy == Policy::kAvailabilityPreserving;
  std::string advice;
  if (error.code == ErrorCode::kDoesNotFit && besides && one->old_was_hot) {
    advice = "; it may fit with the policy resource_preserving, which lets '" + report.from.to_string() +
             "' go first";
  }
  const models::VersionRef& failed = one->to_prove.empty() ? report.to : one->to_prove.back();
  error.message = "'" + report.alias + "' was not switched: loading '" + failed.to_string() + "' failed, " +
                  serving_text(report.from) + ": " + error.message + advice;
  end(one, Outcome::kFailed, std::move(error));
}

store::AliasRow Switcher::Impl::moved_row(const Switch& one, const Name& name, std::int64_t& undone) const {
  store::AliasRow row = name.row;
  const SwitchReport& report = one.report;
  const std::string from = to_text(report.from), to = to_text(report.to);
  row.target = to;
  row.split = one.split ? to_text(*one.split) : std::string();
  if (one.request.fallbacks) row.fallbacks = *one.request.fallbacks;
  if (name.is_model) row.considered = one.newest;
  if (!one.defined.empty()) row.defined = one.defined;
  if (report.kind == Kind::kRollback && from != to) {
    // What was left goes for good: the next rollback goes one further back.
    while (!row.previous.empty()) {
      const store::PreviousRow last = row.previous.front();
      row.previous.erase(row.previous.begin());
      if (last.version != to) continue;
      undone = last.switch_id;
      break;
    }
  } else if (from != to && proven_.contains(report.from)) {
    row.previous.insert(row.previous.begin(), {from, report.id});
    if (row.previous.size() > kMostPrevious) row.previous.pop_back();
  }
  return row;
}

void Switcher::Impl::flip(const SwitchPtr& one) {
  Name& name = names_[one->name];
  enter(*one, Phase::kFlip, now());
  std::int64_t undone = 0;
  store::AliasRow row = moved_row(*one, name, undone);
  SwitchReport moved = one->report;
  moved.outcome = Outcome::kOk;
  moved.ended = std::chrono::system_clock::now();
  // On disk first: whoever is killed after this comes back with it, and nobody was told before.
  if (const Status kept = store_.move(row, to_row(moved), undone); !kept) {
    return fail_before_flip(one,
                            {ErrorCode::kUnavailable, "it cannot be recorded", kept.error().to_string()});
  }
  name.row = std::move(row);
  name.to = one->report.to;
  name.split = one->split ? std::make_shared<const Split>(*one->split) : nullptr;
  name.followed_files = one->report.kind == Kind::kUpgrade;
  name.live = true;
  name.current = nullptr;
  one->flipped = true;
  one->holds = false;
  one->report.serving = one->report.to;
  close_phase(*one, now());
  refresh();
  release_held(name);
  one->lease.release();  // requests find it from here on
  one->keep.release();
  telemetry::Event event;
  event.type = "alias";
  event.model = one->report.to.model;
  event.version = one->report.to.version;
  event.text = {{"alias", one->report.alias},
                {"from", to_text(one->report.from)},
                {"to", to_text(one->report.to)},
                {"result", "ok"},
                {"kind", std::string(to_string(one->report.kind))},
                {"cause", one->report.who}};
  event.numbers = {
      {"switch", static_cast<double>(one->report.id)},
      {"duration_ms", std::chrono::duration<double, std::milli>(moved.ended - moved.started).count()}};
  dependencies_.events.publish(std::move(event));
  settle_old(one);
}

void Switcher::Impl::settle_old(const SwitchPtr& one) {
  const auto to = old_goes_to(situation_of(*one));
  const SwitchOptions& options = one->request.options;
  if (!to || one->sent_away) return end(one, Outcome::kOk, std::nullopt);
  enter(*one, Phase::kDrain, now());
  const Status begun = dependencies_.manager.leave(
      one->report.from,
      {.to = *to,
       .bound = options.drain_timeout,
       .at_bound = options.force ? models::AtBound::kRevoke : models::AtBound::kReport,
       .when_wanted = options.force ? models::WhenWanted::kGoesOn : models::WhenWanted::kCallOff,
       .drained = posted([one](Impl& self) {
         if (!one->over) self.enter(*one, Phase::kSettle, self.now());
       })},
      [weak = weak_from_this(), one](const Status& status) {
        if (const auto self = weak.lock())
          self->strand_.post([self = self.get(), one, status] { self->old_settled(one, status); });
      });
  if (!begun) old_settled(one, begun);
}

void Switcher::Impl::old_settled(const SwitchPtr& one, const Status& status) {
  if (one->over) return;
  if (!status && status.error().code == ErrorCode::kTimeout) {
    one->report.still_draining = true;
    one->report.draining_leases = leases_of(one->report.from);
  }
  end(one, Outcome::kOk, std::nullopt);
}

/// The old version was told to leave for a switch that does not come about.
void Switcher::Impl::bring_back(Switch& one) {
  if (!one.sent_away || one.flipped) return;
  dependencies_.manager.stay(one.report.from);
  if (one.old_was_hot)
    (void)dependencies_.manager.load(one.report.from);  // gone from the catalog: nothing to do
}

void Switcher::Impl::end(const SwitchPtr& one, Outcome outcome, std::optional<Error> error) {
  if (one->over) return;
  one->over = true;
  one->ticket = {};
  close_phase(*one, now());
  SwitchReport& report = one->report;
  report.outcome = outcome;
  report.error = std::move(error);
  report.ended = std::chrono::system_clock::now();
  std::erase(active_, one);
  bring_back(*one);
  one->lease.release();
  one->keep.release();
  if (const Status kept = store_.update(to_row(report)); !kept)
    telemetry::log_error("traffic", "the history lacks the end of switch {}: {}", report.id,
                         kept.error().to_string());
  const auto name = names_.find(one->name);
  if (name != names_.end()) {
    if (name->second.current == one) name->second.current = nullptr;
    if (report.kind == Kind::kUpgrade && outcome == Outcome::kFailed && name->second.is_model) {
      name->second.row.considered = one->newest;  // not again before there is another one
      keep_row(name->second.row);
    }
    const bool came_to_nothing = !name->second.live && name->second.current == nullptr &&
                                 name->second.to.model.empty() && name->second.row.target.empty() &&
                                 name->second.row.defined.empty();
    const std::vector<Held> orphans =
        came_to_nothing ? std::exchange(name->second.held, {}) : std::vector<Held>();
    if (came_to_nothing) names_.erase(name);
    refresh();
    if (!came_to_nothing) release_held(name->second);
    for (const Held& held : orphans) held.done(resolve(one->name));
  }
  publish_end(*one);
  if (one->request.done) one->request.done(report);
}

}  // namespace switchyard::traffic
