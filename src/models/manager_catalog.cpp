#include <algorithm>
#include <utility>

#include "base/host_memory.h"
#include "base/nearest.h"
#include "models/manager_impl.h"

// The catalog: replacing it, names, and what is shown of it.

namespace switchyard::models {

namespace {

/// Other settings of the same file in the same place: what its engine has loaded is of use to the next one.
bool same_weights(const engine::ModelSpec& a, const engine::ModelSpec& b) {
  const auto file = [](const engine::ModelSpec& spec) {
    const auto found = spec.args.find("model");
    return found == spec.args.end() ? std::string() : found->second;
  };
  return file(a) == file(b) && a.file_stamp == b.file_stamp && a.sha256 == b.sha256 &&
         a.isolation == b.isolation && a.worker == b.worker;
}

}  // namespace

Status Manager::Impl::check(const std::vector<ModelDefinition>& models) {
  std::vector<engine::ModelSpec> changed;
  engine::InspectOptions options;
  {
    const MutexLock lock(mutex_);
    options = inspect_options();
    for (const ModelDefinition& model : models) {
      for (const engine::ModelSpec& spec : model.versions) {
        const EntryPtr entry = find({model.id, spec.version});
        if (entry != nullptr && !entry->at_rest() && entry->spec().args != spec.args) changed.push_back(spec);
      }
    }
  }
  for (const engine::ModelSpec& spec : changed) {
    const auto inspected = dependencies_.loader.inspect(spec, options, stop_inspections_.get_token());
    if (!inspected) return std::unexpected(inspected.error());
  }
  return {};
}

Status Manager::Impl::set_catalog(const std::vector<ModelDefinition>& models, Preload preload) {
  auto names = further_names(models);
  if (!names) return std::unexpected(names.error());
  const MutexLock lock(mutex_);
  if (shutting_down_) return fail(ErrorCode::kUnavailable, "the server is shutting down");
  std::map<std::string, Model, std::less<>> before = std::exchange(models_, {});
  model_order_.clear();
  bool changed = before.size() != models.size();
  std::vector<std::weak_ptr<Entry>> added;
  for (const ModelDefinition& model : models) {
    const auto old = before.find(model.id);
    const bool same = old != before.end() && *old->second.definition == model;
    changed = changed || !same;
    model_order_.push_back(model.id);
    // Copied: what stays lies together then, and not scattered over the pages of what it was made from.
    auto definition = same ? old->second.definition : std::make_shared<const ModelDefinition>(model);
    merge_model(std::move(definition), old == before.end() ? nullptr : &old->second, added);
  }
  for (auto& [id, model] : before) {
    for (const EntryPtr& entry : model.entries) {
      if (entry != nullptr) retire(entry, nullptr);
    }
  }
  names_ = std::move(*names);
  std::ranges::reverse(added);
  to_inspect_.insert(to_inspect_.begin(), added.begin(), added.end());
  for (const std::string& id : model_order_) {
    const Model& model = models_.find(id)->second;
    const bool counts = preload == Preload::kAll || (preload == Preload::kAdded && !before.contains(id));
    if (counts && model.definition->settings.preload) begin_preload(model.entries.back());
  }
  if (catalogued_ && changed) {
    queue([this] {
      telemetry::Event event;
      event.type = "models_reload";
      event.model = "*";
      dependencies_.events.publish(std::move(event));
    });
  }
  catalogued_ = true;
  settle();
  return {};
}

/// Takes over from `old` what did not change; what is left in `old` is no longer wanted.
void Manager::Impl::merge_model(std::shared_ptr<const ModelDefinition> definition, Model* old,
                                std::vector<std::weak_ptr<Entry>>& added) {
  Model& model = models_[definition->id];
  model.definition = definition;
  model.pinned = definition->settings.pin;
  if (old != nullptr && old->definition->settings.pin == definition->settings.pin) model.pinned = old->pinned;
  for (std::size_t i = 0; i < definition->versions.size(); ++i) {
    const engine::ModelSpec& spec = definition->versions[i];
    EntryPtr entry = old == nullptr ? nullptr : take_entry(*old, spec.version);
    if (entry == nullptr || entry->spec() != spec) {
      const EntryPtr replaced = std::exchange(entry, std::make_shared<Entry>());
      entry->ref = {definition->id, spec.version};
      entry->since = now();
      entry->definition = definition;
      entry->version_index = i;
      if (replaced != nullptr) {
        replaced->hands_weights_over = replaced->state() == State::kHot && replaced->weights != nullptr &&
                                       same_weights(replaced->spec(), spec);
        retire(replaced, entry);
        entry->replaces = replaced->at_rest() ? replaced->replaces : replaced;
        if (replaced->hands_weights_over) add_waiter(entry, Waiter::Kind::kLoad);
      }
      added.push_back(entry);
    }
    entry->definition = definition;
    entry->version_index = i;
    entry->pinned = model.pinned;
    model.entries.push_back(std::move(entry));
  }
}

Manager::Impl::EntryPtr Manager::Impl::take_entry(Model& old, const std::string& version) {
  for (EntryPtr& entry : old.entries) {
    if (entry != nullptr && entry->ref.version == version) return std::exchange(entry, nullptr);
  }
  return nullptr;
}

void Manager::Impl::retire(const EntryPtr& entry, const EntryPtr& successor) {
  entry->gone = true;
  if (successor == nullptr) {
    release_replaced(*entry);
    queue([this, ref = entry->ref] { dependencies_.loader.forget(ref.model, ref.version); });
    fail_waiters(
        *entry, {ErrorCode::kNotFound, "model '" + entry->ref.to_string() + "' is no longer in the catalog"});
  } else if (!entry->waiters.empty()) {
    successor->waiters = std::exchange(entry->waiters, {});
    for (const auto& waiter : successor->waiters) waiter->entry = successor.get();
    touch(successor);
  }
  const Residency to = entry->hands_weights_over ? Residency::kParked : Residency::kCold;
  Drain drain{.cause = DrainCause::kDecided, .to = to, .reason = "request"};
  switch (entry->state()) {
    case State::kCold:
    case State::kFailed:
    case State::kUnloading: break;
    case State::kLoading:
    case State::kWarming: cancel_load(*entry); break;
    case State::kHot:
    case State::kDraining:
    case State::kParked: begin_drain(entry, std::move(drain)); break;
  }
}

/// The one that `entry` replaces has no use any more: `entry` has its weights, or will not load.
void Manager::Impl::release_replaced(Entry& entry) {
  const EntryPtr replaced = std::exchange(entry.replaces, nullptr);
  if (replaced == nullptr) return;
  release_replaced(*replaced);
  if (!replaced->hands_weights_over) return;
  replaced->hands_weights_over = false;
  replaced->silent = !entry.at_rest() || entry.state() == State::kFailed;
  const State state = replaced->state();
  if (state == State::kHot || state == State::kDraining || state == State::kParked) {
    begin_drain(replaced, {.cause = DrainCause::kDecided, .to = Residency::kCold, .reason = "request"});
  }
}

Result<Preview> Manager::Impl::preview(const VersionRef& ref, const PreviewOptions& options) const {
  Snapshot state;
  std::size_t index = 0;
  {
    const MutexLock lock(mutex_);
    const auto entry = find_or_fail(ref);
    if (!entry) return std::unexpected(entry.error());
    if ((*entry)->inspection == nullptr) {
      return fail(ErrorCode::kUnavailable, "model '" + ref.to_string() + "' has not been inspected yet",
                  (*entry)->error ? (*entry)->error->message : std::string());
    }
    std::vector<EntryPtr> order;
    state = snapshot(order);
    const auto found = std::ranges::find(order, *entry);
    index = static_cast<std::size_t>(found - order.begin());
    if (found == order.end()) state.candidates.push_back(candidate(**entry));
    for (std::size_t i = 0; i < order.size(); ++i) {
      Candidate& other = state.candidates[i];
      if (order[i]->ref == options.stays) other.pinned = true;
      if (order[i]->ref != options.goes || other.state != State::kHot || !other.can_park) continue;
      if (other.held) state.usage.remove(*other.held);
      other.held = other.footprint->parked;
      state.usage.add(*other.held);
      other.state = State::kParked;
      other.pinned = false;
    }
  }
  return make_preview(std::move(state), index);
}

void Manager::Impl::begin_preload(const EntryPtr& entry) {
  if (entry->state() == State::kHot || !entry->waiters.empty() || entry->quarantined) return;
  add_waiter(entry, Waiter::Kind::kPreload);
}

void Manager::Impl::set_limits(Limits limits) {
  const MutexLock lock(mutex_);
  const bool other_budgets =
      limits.memory_budget != limits_.memory_budget || limits.device_budgets != limits_.device_budgets;
  limits_ = std::move(limits);
  if (other_budgets) {
    for (const auto& [id, model] : models_) {
      for (const EntryPtr& entry : model.entries) entry->stale = entry->inspection != nullptr;
    }
  }
  settle();
}

Limits Manager::Impl::limits() const {
  const MutexLock lock(mutex_);
  return limits_;
}

Budgets Manager::Impl::budgets() const {
  Budgets budgets = limits_.device_budgets;
  budgets["host"] = limits_.memory_budget - limits_.conversations;
  for (const auto& [device, memory] : device_memory_)
    budgets.try_emplace(device, default_device_budget(memory));
  return budgets;
}

void Manager::Impl::keep(Entry& entry, engine::Inspection inspection) {
  for (const auto& item : inspection.need.items) {
    if (item.device_memory > ByteSize(0)) device_memory_[item.device] = item.device_memory;
  }
  entry.inspection = std::make_shared<const engine::Inspection>(std::move(inspection));
}

engine::InspectOptions Manager::Impl::inspect_options() const {
  return {.host_budget = limits_.memory_budget - limits_.conversations,
          .device_budgets = limits_.device_budgets};
}

std::optional<Standing> Manager::Impl::standing(const VersionRef& ref) const {
  const MutexLock lock(mutex_);
  const EntryPtr entry = find(ref);
  if (entry == nullptr) return std::nullopt;
  const bool has_engine = entry->engine != nullptr && entry->inspection != nullptr;
  const bool to_be_tried =
      entry->at_rest() && !entry->quarantined && (!entry->retry_at || *entry->retry_at <= now());
  return Standing{.state = entry->state(),
                  .leases = entry->leases,
                  .pinned = entry->pinned,
                  .slots = has_engine ? entry->inspection->n_slots : 0,
                  .quarantined = entry->quarantined,
                  .in_trouble = entry->state() != State::kHot && entry->error != nullptr && !to_be_tried};
}

std::vector<RunningEngine> Manager::Impl::running() const {
  std::vector<RunningEngine> all;
  const MutexLock lock(mutex_);
  for (const EntryPtr& entry : active_) {
    const bool answers = entry->state() == State::kHot || entry->state() == State::kDraining;
    if (!answers || entry->lost_at || entry->leaving) continue;
    all.push_back({.ref = entry->ref,
                   .state = entry->state(),
                   .leases = entry->leases,
                   .settings = entry->settings().health,
                   .activity = entry->activity,
                   .engine = entry->engine.get()});
  }
  return all;
}

std::optional<HealthSettings> Manager::Impl::health_settings(std::string_view model_id) const {
  const MutexLock lock(mutex_);
  const auto model = models_.find(model_id);
  if (model == models_.end()) return std::nullopt;
  return model->second.definition->settings.health;
}

bool Manager::Impl::can_answer() const {
  const MutexLock lock(mutex_);
  for (const auto& [id, model] : models_) {
    for (const EntryPtr& entry : model.entries) {
      if (!entry->quarantined && entry->state() != State::kFailed) return true;
    }
  }
  return models_.empty();
}

std::vector<Resident> Manager::Impl::residents() const {
  std::vector<EntryPtr> there;
  std::vector<Resident> all;
  const MutexLock lock(mutex_);
  for (const EntryPtr& entry : active_) {
    if (!entry->gone && !entry->at_rest() && entry->state() != State::kUnloading &&
        !entry->reservation.empty())
      there.push_back(entry);
  }
  std::ranges::sort(there, std::ranges::greater(),
                    [](const EntryPtr& entry) { return std::max(entry->used_at, entry->load_began); });
  for (const EntryPtr& entry : there) {
    const bool parked = entry->state() == State::kParked;
    all.push_back({entry->ref, parked ? Residency::kParked : Residency::kHot});
  }
  return all;
}

std::map<std::string, std::vector<std::string>> Manager::Impl::versions() const {
  std::map<std::string, std::vector<std::string>> all;
  const MutexLock lock(mutex_);
  for (const auto& [id, model] : models_) {
    for (const EntryPtr& entry : model.entries) all[id].push_back(entry->ref.version);
  }
  return all;
}

Counters Manager::Impl::counters() const {
  const MutexLock lock(mutex_);
  return counters_;
}

Manager::Impl::EntryPtr Manager::Impl::find(const VersionRef& ref) const {
  const auto model = models_.find(ref.model);
  if (model == models_.end()) return nullptr;
  const auto entry = std::ranges::find(model->second.entries, ref.version,
                                       [](const EntryPtr& candidate) { return candidate->ref.version; });
  return entry == model->second.entries.end() ? nullptr : *entry;
}

const Manager::Impl::Model* Manager::Impl::model_called(std::string_view name) const {
  auto model = models_.find(name);
  if (model == models_.end()) {
    const auto further = names_.find(name);
    if (further != names_.end()) model = models_.find(further->second);
  }
  return model == models_.end() ? nullptr : &model->second;
}

Result<Manager::Impl::EntryPtr> Manager::Impl::find_or_fail(const VersionRef& ref) const {
  if (EntryPtr entry = find(ref)) return entry;
  return fail(ErrorCode::kNotFound, "no model is called '" + ref.to_string() + "'");
}

std::unexpected<Error> Manager::Impl::unknown_model(std::string_view name) const {
  std::vector<std::string> known;
  for (const auto& [id, model] : models_) known.push_back(id);
  for (const auto& [further, id] : names_) known.push_back(further);
  std::ranges::sort(known);
  return fail(ErrorCode::kNotFound,
              "model '" + std::string(name) + "' not found" + did_you_mean_or_known(name, known));
}

Result<VersionRef> Manager::Impl::resolve(std::string_view name) const {
  const MutexLock lock(mutex_);
  if (const Model* const model = model_called(name)) return model->entries.back()->ref;
  const std::size_t at = name.rfind('@');
  if (at != std::string_view::npos) {
    if (const Model* const model = model_called(name.substr(0, at))) {
      VersionRef ref{model->definition->id, std::string(name.substr(at + 1))};
      if (find(ref) != nullptr) return ref;
      std::vector<std::string> versions;
      for (const EntryPtr& entry : model->entries) versions.push_back(entry->ref.version);
      return fail(ErrorCode::kNotFound, "model '" + ref.model + "' has no version '" + ref.version + "'" +
                                            did_you_mean(ref.version, versions));
    }
  }
  return unknown_model(name);
}

ModelStatus Manager::Impl::status_of(const Model& model) const {
  ModelStatus status{.definition = model.definition, .versions = {}};
  const TimePoint time = now();
  for (const EntryPtr& entry : model.entries) {
    VersionStatus version{.ref = entry->ref,
                          .state = entry->state(),
                          .pinned = entry->pinned,
                          .preload = entry->settings().preload,
                          .leases = entry->leases,
                          .waiting = static_cast<std::uint32_t>(entry->waiters.size()),
                          .inspection = entry->inspection,
                          .last_load_time = entry->last_load,
                          .quarantined = entry->quarantined,
                          .lost = lost_bytes(entry->ref),
                          .info_json = entry->info_json,
                          .props_json = entry->props_json};
    if (entry->error) version.error = *entry->error;
    if (entry->progress) version.progress = *entry->progress;
    const bool at_hand = entry->state() == State::kHot || entry->state() == State::kParked;
    if (at_hand && entry->leases == 0) version.idle_for = time - entry->used_at;
    status.versions.push_back(std::move(version));
  }
  return status;
}

std::vector<ModelStatus> Manager::Impl::list() const {
  std::vector<ModelStatus> all;
  const MutexLock lock(mutex_);
  all.reserve(model_order_.size());
  for (const std::string& id : model_order_) all.push_back(status_of(models_.find(id)->second));
  return all;
}

Result<ModelStatus> Manager::Impl::describe(std::string_view model_id) const {
  const MutexLock lock(mutex_);
  const auto model = models_.find(model_id);
  if (model == models_.end()) return unknown_model(model_id);
  return status_of(model->second);
}

}  // namespace switchyard::models
