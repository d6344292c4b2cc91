#include <algorithm>
#include <chrono>
#include <set>

#include "base/nearest.h"
#include "base/utf8.h"
#include "telemetry/log.h"
#include "traffic/switch_record.h"
#include "traffic/switcher_impl.h"

// What names mean: as kept, as the config file says, and as models get newer versions. On the strand.

namespace switchyard::traffic {
namespace {

std::string pointed(const Alias& alias) {
  return "the alias '" + alias.name + "' points at '" + alias.to.to_string() + "'";
}

bool is_plain(std::string_view name) {
  return !name.empty() && name.front() != ' ' && name.back() != ' ' && is_utf8(name) &&
         std::ranges::none_of(name, [](unsigned char c) { return c == '@' || c < ' ' || c == 0x7f; });
}

/// What the config file says of an alias, so that another time can see whether it says something else.
std::string definition_of(const Alias& alias) {
  if (!alias.defined.empty()) return alias.defined;
  return alias.split.empty() ? to_text(alias.to) : described(alias.split, alias.sticky_header);
}

std::optional<SplitSpec> spec_of(const Alias& alias) {
  if (alias.split.empty()) return std::nullopt;
  SplitSpec spec{.arms = {}, .sticky_header = alias.sticky_header};
  for (const Arm& arm : alias.split) spec.arms.push_back({arm.to.to_string(), arm.weight});
  return spec;
}

}  // namespace

void Switcher::Impl::load_names() {
  const auto seconds = std::chrono::system_clock::now().time_since_epoch();
  const auto now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(seconds).count();
  if (const Status ended = store_.end_interrupted(now_ms); !ended)
    telemetry::log_error("traffic", "the history cannot be read: {}", ended.error().to_string());
  const auto rows = store_.aliases();
  if (!rows) telemetry::log_error("traffic", "the aliases cannot be read: {}", rows.error().to_string());
  if (rows) {
    for (const store::AliasRow& row : *rows) {
      Name name;
      name.row = row;
      name.to = to_ref(row.target);
      name.is_model = row.kind == "model";
      name.split = parse_split(row.split);
      names_[row.name] = std::move(name);
    }
  }
  if (const auto proven = store_.proven()) {
    for (const std::string& version : *proven) proven_.insert(to_ref(version));
  }
}

/// Models and versions only: an alias that stands in for one might lead back to it.
Status Switcher::Impl::check_fallbacks(const std::string& alias,
                                       const std::vector<std::string>& fallbacks) const {
  for (const std::string& name : fallbacks) {
    const auto found = dependencies_.manager.resolve(name);
    if (!found) {
      return fail(ErrorCode::kNotFound,
                  "the alias '" + alias + "' has the fallback '" + name + "', which is no model or version",
                  found.error().message);
    }
  }
  return {};
}

Status Switcher::Impl::check_definitions(const std::vector<Alias>& aliases) const {
  std::set<std::string> seen;
  for (const Alias& alias : aliases) {
    if (!is_plain(alias.name)) {
      return fail(ErrorCode::kInvalidArgument, "'" + alias.name + "' is no name for an alias");
    }
    if (!seen.insert(alias.name).second)
      return fail(ErrorCode::kInvalidArgument, "there are two aliases '" + alias.name + "'");
    if (dependencies_.manager.resolve(alias.name)) {
      return fail(ErrorCode::kInvalidArgument, "the alias '" + alias.name + "' has the name of a model");
    }
    const auto target = dependencies_.manager.resolve(alias.to.to_string());
    if (!target) return fail(ErrorCode::kNotFound, pointed(alias), target.error().message);
    for (const Arm& arm : alias.split) {
      if (const auto found = dependencies_.manager.resolve(arm.to.to_string()); !found)
        return fail(ErrorCode::kNotFound, pointed({.name = alias.name, .to = arm.to}), found.error().message);
    }
    if (!alias.split.empty()) {
      if (auto checked = check_arms(alias.split); !checked)
        return fail(checked.error().code, "the alias '" + alias.name + "': " + checked.error().message);
    }
    if (auto checked = check_fallbacks(alias.name, alias.fallbacks); !checked) return checked;
  }
  return {};
}

Status Switcher::Impl::define_now(const std::vector<Alias>& aliases, const Successors& successors) {
  if (auto checked = check_definitions(aliases); !checked) return checked;
  for (auto& [key, name] : names_) name.live = false;
  for (const Alias& alias : aliases) define_alias(alias);
  revive_made_by_calls(aliases);
  follow_successors(successors);
  follow_catalog();
  defined_ = true;
  refresh();
  return {};
}

void Switcher::Impl::define_alias(const Alias& alias) {
  const std::string text = definition_of(alias);
  const auto known = names_.find(alias.name);
  Redefined facts{.known = known != names_.end() && !known->second.is_model, .at_start = !defined_};
  if (facts.known) {
    facts.removed = known->second.row.target.empty();
    facts.entry_changed = known->second.row.defined != text;
    facts.target_is_there =
        !facts.removed && dependencies_.manager.resolve(known->second.to.to_string()).has_value();
  }
  Name& name = names_[alias.name];
  name.is_model = false;
  const bool other_fallbacks = name.row.fallbacks != alias.fallbacks;
  name.row.fallbacks = alias.fallbacks;  // the file's say, wherever calls have moved it
  if (facts.known && other_fallbacks) keep_row(name.row);
  switch (redefinition(facts)) {
    case Redefinition::kStay: name.live = true; break;
    case Redefinition::kStayAway: break;
    case Redefinition::kPointThere:
      name.to = alias.to;
      name.live = true;
      name.row.name = alias.name;
      name.row.kind = "alias";
      name.row.target = to_text(alias.to);
      name.row.defined = text;
      name.split = nullptr;
      if (!alias.split.empty())
        name.split = std::make_shared<const Split>(make_split(alias.split, alias.sticky_header, nullptr));
      name.row.split = name.split == nullptr ? std::string() : to_text(*name.split);
      keep_row(name.row);
      break;
    case Redefinition::kSwitch:
      name.live = true;
      strand_.post([this, alias, text] {
        start({.alias = alias.name,
               .to = to_text(alias.to),
               .options = {.who = "config"},
               .kind = Kind::kConfig,
               .split = spec_of(alias)},
              text);
      });
      break;
  }
}

/// Aliases that no config file has: they are there while their version is. One that a config file had
/// goes with its entry, unless it is just being moved.
void Switcher::Impl::revive_made_by_calls(const std::vector<Alias>& aliases) {
  std::vector<std::string> forgotten;
  for (auto& [key, name] : names_) {
    if (name.is_model || std::ranges::any_of(aliases, [&](const Alias& alias) { return alias.name == key; }))
      continue;
    if (!name.row.defined.empty() && name.current == nullptr) {
      forgotten.push_back(key);
      continue;
    }
    if (name.to.model.empty()) continue;  // being made
    const auto is_there = [this](const models::VersionRef& ref) {
      return dependencies_.manager.resolve(ref.to_string()).has_value();
    };
    const bool taken = dependencies_.manager.resolve(key).has_value();
    name.to = to_ref(name.row.target);
    if (name.split != nullptr && !is_there(name.to)) {
      const auto other = std::ranges::find_if(name.split->arms, is_there, &Arm::to);
      if (other != name.split->arms.end()) {
        telemetry::log_warning("traffic", "alias '{}': {} is not catalogued, {} has its share", key,
                               name.to.to_string(), other->to.to_string());
        name.to = other->to;
      }
    }
    name.live = !taken && is_there(name.to);
    if (name.live) continue;
    telemetry::log_warning(
        "traffic", "alias '{}' rests: {}", key,
        taken ? "a model has its name now" : "its version " + name.to.to_string() + " is not catalogued");
  }
  for (const std::string& key : forgotten) {
    if (const Status gone = store_.remove(key); !gone)
      telemetry::log_error("traffic", "{}", gone.error().to_string());
    names_.erase(key);
  }
}

/// A version whose file was replaced cannot be loaded again: what means it moves on. Where its engine is
/// still there it serves until the new one has answered.
void Switcher::Impl::follow_successors(const Successors& successors) {
  for (auto& [key, name] : names_) {
    follow_arms(key, name, successors);
    const auto next = successors.find(name.to);
    if (next == successors.end() || name.split != nullptr) continue;
    if (!is_in_memory(name.to)) {
      name.to = next->second;
      name.row.target = to_text(name.to);
      name.live = true;
      keep_row(name.row);
      continue;
    }
    strand_.post([this, alias = key, to = to_text(next->second)] {
      start({.alias = alias, .to = to, .options = {.why = "its file was replaced"}, .kind = Kind::kUpgrade});
    });
  }
}

bool Switcher::Impl::is_in_memory(const models::VersionRef& ref) const {
  const models::State state = state_of(ref);
  return state != models::State::kCold && state != models::State::kFailed;
}

/// An arm whose file was replaced moves on to its successor: where its engine is still there, once the new
/// one has answered.
void Switcher::Impl::follow_arms(const std::string& key, Name& name, const Successors& successors) {
  if (name.split == nullptr) return;
  Split split = *name.split;
  bool serves = false;
  for (Arm& arm : split.arms) {
    const auto next = successors.find(arm.to);
    if (next == successors.end()) continue;
    serves = serves || is_in_memory(arm.to);
    arm.to = next->second;
  }
  if (split == *name.split || !check_arms(split.arms)) return;
  if (serves) {
    SplitSpec spec{.arms = {}, .sticky_header = split.sticky_header};
    std::vector<models::VersionRef> now;
    for (const Arm& arm : split.arms) spec.arms.push_back({arm.to.to_string(), arm.weight});
    for (const Arm& arm : name.split->arms) now.push_back(arm.to);
    strand_.post([this, key, spec, now] {
      start({.alias = key,
             .to = {},
             .options = {.why = "its file was replaced"},
             .kind = Kind::kUpgrade,
             .split = spec,
             .only_if_split_over = now});
    });
    return;
  }
  name.followed_files = true;
  name.to = split.arms.front().to;
  name.row.target = to_text(name.to);
  name.row.split = to_text(split);
  name.split = std::make_shared<const Split>(std::move(split));
  name.live = true;
  keep_row(name.row);
}

void Switcher::Impl::follow_catalog() {
  std::vector<std::string> upgrades;
  for (const auto& [id, versions] : dependencies_.manager.versions()) {
    const auto found = names_.find(id);
    if (found == names_.end() || !found->second.is_model) continue;
    Name& name = found->second;
    name.newest = versions.back();
    name.live = std::ranges::find(versions, name.to.version) != versions.end();
    if (name.live && is_pending(name) && dependencies_.upgrades == Upgrades::kInBackground &&
        name.current == nullptr) {
      if (is_in_memory(name.to)) upgrades.push_back(id);
    }
  }
  for (const std::string& id : upgrades) strand_.post([this, id] { upgrade(id); });
}

bool Switcher::Impl::is_pending(const Name& name) const {
  return name.live && name.is_model && !name.newest.empty() && name.newest != name.to.version &&
         name.row.considered != name.newest;
}

/// The bare name follows its newest version, by a switch as any other.
void Switcher::Impl::upgrade(const std::string& id) {
  const auto name = names_.find(id);
  if (name == names_.end() || !is_pending(name->second) || name->second.current != nullptr || closing_)
    return;
  start({.alias = id,
         .to = models::VersionRef{id, name->second.newest}.to_string(),
         .options = {.why = "a newer version"},
         .kind = Kind::kUpgrade});
}

void Switcher::Impl::note_proven(const models::VersionRef& ref) {
  if (proven_.insert(ref).second) {
    if (const Status kept = store_.prove(to_text(ref)); !kept)
      telemetry::log_error("traffic", "{}", kept.error().to_string());
  }
  const auto newest = dependencies_.manager.resolve(ref.model);
  if (!newest || newest->model != ref.model) return;  // no longer catalogued
  Name& name = names_[ref.model];
  if (!name.row.name.empty() && !name.is_model) {
    if (name.live || name.current != nullptr) return;
    telemetry::log_warning("traffic", "the alias '{}' that rested is forgotten: a model has its name",
                           ref.model);
  }
  name.newest = newest->version;
  if (name.live && !is_pending(name)) return;
  if (!name.live) {
    name.is_model = name.live = true;
    name.to = ref;
    name.row = {.name = ref.model,
                .kind = "model",
                .target = to_text(ref),
                .defined = {},
                .considered = ref == *newest ? ref.version : std::string()};
    keep_row(name.row);
    refresh();
  } else if (ref == *newest) {
    upgrade(ref.model);
  }
}

void Switcher::Impl::route_now(const std::string& key, const std::string& subject, RouteDone done) {
  const auto name = names_.find(key);
  if (name != names_.end() && is_pending(name->second) && name->second.current == nullptr) upgrade(key);
  if (name != names_.end() && name->second.current != nullptr && name->second.current->holds) {
    name->second.held.push_back({subject, std::move(done)});
    return;
  }
  done(resolve(key, subject));
}

void Switcher::Impl::release_held(Name& name) {
  if (name.current != nullptr && name.current->holds) return;
  for (const Held& held : std::exchange(name.held, {})) {
    held.done(name.live ? resolve(name.row.name, held.subject)
                        : fail(ErrorCode::kNotFound, "'" + name.row.name + "' was removed"));
  }
}

/// The key in names_ of what a caller calls `alias`: it may not be there yet.
Result<std::string> Switcher::Impl::key_of(const std::string& alias, WhenMissing when_missing) const {
  const auto known = names_.find(alias);
  if (known != names_.end() && (known->second.live || known->second.current != nullptr)) return alias;
  if (alias.contains('@')) {
    return fail(ErrorCode::kInvalidArgument,
                "'" + alias + "' names one version for ever; an alias has no '@' in its name");
  }
  if (const auto ref = dependencies_.manager.resolve(alias)) return ref->model;
  if (when_missing == WhenMissing::kMake) {
    if (is_plain(alias)) return alias;
    return fail(ErrorCode::kInvalidArgument, "'" + alias + "' is no name for an alias");
  }
  std::vector<std::string> names;
  for (const auto& [key, name] : names_) {
    if (name.live) names.push_back(key);
  }
  return fail(ErrorCode::kNotFound, "no alias is called '" + alias + "'" + did_you_mean(alias, names));
}

/// Where rollbacks of a name go, one after the other.
std::vector<models::VersionRef> Switcher::Impl::ways_back(const Name& name) const {
  std::vector<models::VersionRef> ways;
  if (name.split != nullptr) ways.push_back(name.to);  // all of it back to its first arm
  for (const store::PreviousRow& row : name.row.previous) {
    const models::VersionRef ref = to_ref(row.version);
    if (ref != name.to && dependencies_.manager.resolve(row.version)) ways.push_back(ref);
  }
  return ways;
}

/// An alias that rests because a model has its name is not what the name means.
bool Switcher::Impl::is_models_name(const Name* name, const std::string& key) const {
  const bool is_used = name != nullptr && (name->live || name->current != nullptr);
  return is_used ? name->is_model : dependencies_.manager.resolve(key).has_value();
}

Result<models::VersionRef> Switcher::Impl::target_of(const SwitchRequest& request, const Name* name,
                                                     const std::string& key) const {
  const bool is_model = is_models_name(name, key);
  if (request.kind == Kind::kRollback) {
    if (name != nullptr) {
      if (const auto ways = ways_back(*name); !ways.empty()) return ways.front();
    }
    return fail(ErrorCode::kConflict, "'" + key + "' has meant no other version that answered before");
  }
  // A model's own name asked to mean itself is asked to mean its newest version.
  auto to = is_model && request.to == key ? dependencies_.manager.resolve(key) : resolve(request.to);
  if (to && is_model && to->model != key) {
    return fail(
        ErrorCode::kInvalidArgument,
        "'" + key + "' is a model: its name can mean its own versions only, not '" + to->to_string() + "'");
  }
  return to;
}

Result<Split> Switcher::Impl::split_for(const SplitSpec& spec, const Name* name,
                                        const std::string& key) const {
  std::vector<Arm> arms;
  for (const SplitSpec::Arm& arm : spec.arms) {
    auto to = resolve(arm.to);
    if (!to) return std::unexpected(to.error());
    if (is_models_name(name, key) && to->model != key) {
      return fail(ErrorCode::kInvalidArgument, "'" + key +
                                                   "' is a model: its name can be split over its own " +
                                                   "versions only, not '" + to->to_string() + "'");
    }
    arms.push_back({*std::move(to), arm.weight});
  }
  if (const Status checked = check_arms(arms); !checked) return std::unexpected(checked.error());
  std::optional<Split> before;
  if (name != nullptr && name->live) {
    before = name->split != nullptr ? *name->split
                                    : Split{.arms = {{name->to, 100}}, .sticky_header = {}, .shares = {}};
    // What it means already stays what it means.
    const auto main = std::ranges::find(arms, name->to, &Arm::to);
    if (main != arms.end()) std::rotate(arms.begin(), main, main + 1);
  }
  std::string header = spec.sticky_header.value_or(before ? before->sticky_header : std::string());
  return make_split(std::move(arms), std::move(header), before ? &*before : nullptr);
}

/// Its split with the first arm in the place of those that are not catalogued any longer.
std::shared_ptr<const Split> Switcher::Impl::split_now(const Name& name) const {
  if (name.split == nullptr) return nullptr;
  const auto is_there = [this](const Arm& arm) {
    return dependencies_.manager.resolve(arm.to.to_string()).has_value();
  };
  if (std::ranges::all_of(name.split->arms, is_there)) return name.split;
  Split split = *name.split;
  for (Arm& arm : split.arms) {
    if (!is_there(arm)) arm.to = name.to;
  }
  return std::make_shared<const Split>(std::move(split));
}

bool Switcher::Impl::means(const Name& name, const models::VersionRef& ref) const {
  if (!name.live) return false;
  if (name.to == ref) return true;
  return name.split != nullptr &&
         std::ranges::find(name.split->arms, ref, &Arm::to) != name.split->arms.end();
}

void Switcher::Impl::refresh() {
  AliasTable::Positions positions;
  for (const auto& [key, name] : names_) {
    if (!name.live || name.to.model.empty()) continue;
    const bool held = name.current != nullptr && name.current->holds;
    positions[key] = {.to = name.to,
                      .is_model = name.is_model,
                      .ask = held || (name.current == nullptr && is_pending(name)),
                      .fallbacks = name.row.fallbacks,
                      .split = split_now(name)};
  }
  table_.set(std::move(positions));
  {
    const MutexLock lock(mutex_);
    std::erase_if(shown_, [this](const auto& entry) { return !names_.contains(entry.first); });
  }
  for (const auto& [key, name] : names_) show(key);
}

void Switcher::Impl::show(const std::string& key) {
  const auto found = names_.find(key);
  if (found == names_.end()) return;
  const Name& name = found->second;
  AliasStatus status{.alias = {.name = key,
                               .to = name.live ? name.to : models::VersionRef{},
                               .fallbacks = name.row.fallbacks,
                               .split = name.split != nullptr ? name.split->arms : std::vector<Arm>(),
                               .sticky_header = name.split != nullptr ? name.split->sticky_header : ""},
                     .is_model = name.is_model,
                     .defined = name.row.defined,
                     .previous = {}};
  status.previous = ways_back(name);
  status.followed_files = name.followed_files;
  if (name.current != nullptr) status.running = name.current->report;
  const MutexLock lock(mutex_);
  shown_[key] = std::move(status);
}

void Switcher::Impl::keep_row(const store::AliasRow& row) {
  if (const Status kept = store_.put(row); !kept)
    telemetry::log_error("traffic", "where '{}' points is not kept: {}", row.name, kept.error().to_string());
}

void Switcher::Impl::remove(const std::string& alias, const SwitchOptions& options,
                            std::function<void(Status)> done) {
  strand_.post([this, alias, options, done = std::move(done)] {
    const auto key = key_of(alias, WhenMissing::kRefuse);
    if (!key) return done(std::unexpected(key.error()));
    const auto found = names_.find(*key);
    if (found == names_.end() || found->second.is_model) {
      return done(fail(ErrorCode::kConflict, "'" + *key + "' is a model's own name"));
    }
    if (const SwitchPtr one = found->second.current) {
      end(one, Outcome::kCancelled, Error{ErrorCode::kCancelled, "the alias '" + *key + "' was removed"});
    }
    const auto name = names_.find(*key);
    if (name == names_.end()) return done({});  // it was only being made
    SwitchReport report{.alias = *key, .kind = Kind::kRemove, .from = name->second.to, .to = {}};
    report.who = options.who;
    report.why = options.why;
    report.outcome = Outcome::kOk;
    report.started = report.ended = std::chrono::system_clock::now();
    store::AliasRow row = name->second.row;
    row.target.clear();
    row.previous.clear();
    row.split.clear();
    Status kept = row.defined.empty() ? store_.remove(*key) : store_.put(row);
    if (!kept) return done(kept);
    if (const auto line = store_.begin(to_row(report)); !line)
      telemetry::log_error("traffic", "{}", line.error().to_string());
    if (row.defined.empty()) {
      names_.erase(name);
    } else {
      name->second.row = row;
      name->second.to = {};
      name->second.split = nullptr;
      name->second.live = false;
    }
    refresh();
    done({});
  });
}

}  // namespace switchyard::traffic
