#include "library/core.h"

#include <fmt/format.h>

#include <algorithm>

#include "library/catalog.h"
#include "library/outcome.h"

namespace switchyard::library {

using models::VersionRef;

Core::Core(std::unique_ptr<engine::EngineLoader> loader, const models::Limits& limits,
           const std::string& state_path)
    : loader_(std::move(loader)),
      state_(state_path),
      manager_({.loader = *loader_, .executor = executor_, .events = events_}, limits),
      switcher_({.manager = manager_,
                 .executor = executor_,
                 .events = events_,
                 .state = state_,
                 .upgrades = traffic::Upgrades::kOnUse}) {}

Status Core::add_model(const ModelConfig& config) {
  auto spec = make_spec(config);
  if (!spec) return std::unexpected(spec.error());
  const MutexLock catalog_lock(catalog_mutex_);
  if (std::ranges::any_of(switcher_.aliases(),
                          [&](const auto& status) { return status.alias.name == config.id; })) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("'{}' is an alias; give the model another id", config.id));
  }
  std::vector<models::ModelDefinition> changed;
  {
    const MutexLock lock(mutex_);
    changed = definitions_;
  }
  put_version(changed, config, std::move(*spec));
  if (auto set = manager_.set_catalog(changed, models::Manager::Preload::kNone); !set) return set;
  if (auto defined = switcher_.define({}); !defined) return defined;
  const MutexLock lock(mutex_);
  definitions_ = std::move(changed);
  return {};
}

Status Core::pin(std::string_view name, bool pinned) {
  const auto ref = switcher_.resolve(name);
  if (!ref) return std::unexpected(ref.error());
  const MutexLock catalog_lock(catalog_mutex_);
  if (auto done = manager_.pin(ref->model, pinned); !done) return done;
  const MutexLock lock(mutex_);
  const auto model = std::ranges::find(definitions_, ref->model, &models::ModelDefinition::id);
  if (model != definitions_.end()) model->settings.pin = pinned;
  return {};
}

telemetry::EventBus::Subscription Core::watch_load(const LoadOptions& options,
                                                   std::function<bool(const VersionRef&)> is_it) {
  if (!options.on_progress) return {};
  return events_.subscribe(
      [on_progress = options.on_progress, is_it = std::move(is_it)](const telemetry::Event& event) {
        if (event.type != "load_progress" || !is_it({event.model, event.version})) return;
        const auto stage = event.text.find("stage");
        const auto value = event.numbers.find("progress");
        if (stage == event.text.end() || value == event.numbers.end()) return;
        on_progress({.stage = stage->second, .value = value->second});
      });
}

Status Core::load(std::string_view name, const LoadOptions& options) {
  const auto ref = switcher_.resolve(name);
  return ref ? load(*ref, options) : Status(std::unexpected(ref.error()));
}

Status Core::load(const VersionRef& ref, const LoadOptions& options) {
  const auto progress = watch_load(options, [&ref](const VersionRef& loading) { return loading == ref; });
  {
    const MutexLock lock(mutex_);
    ++load_calls_[ref].wanted;
    ++load_calls_[ref].unanswered;
  }
  const auto outcome = std::make_shared<Outcome>();
  const auto answered = [this, ref, outcome](Status answer) {
    {
      const MutexLock lock(mutex_);
      --load_calls_[ref].unanswered;
    }
    outcome->set(std::move(answer));
  };
  if (auto begun = manager_.load(ref, answered); !begun) answered(std::move(begun));
  Status status;
  bool cancelled = false;
  {
    const std::stop_callback stop(options.stop, [&] {
      outcome->set(fail(ErrorCode::kCancelled, fmt::format("loading {} was cancelled", ref.to_string())));
    });
    status = outcome->wait();
    cancelled = !status && status.error().code == ErrorCode::kCancelled && options.stop.stop_requested();
  }
  {
    const MutexLock lock(mutex_);
    --load_calls_[ref].wanted;
  }
  if (cancelled) cancel_unwanted_load(ref);
  return status;
}

void Core::cancel_unwanted_load(const VersionRef& ref) {
  std::uint32_t own = 0;
  {
    const MutexLock lock(mutex_);
    const LoadCalls calls = load_calls_[ref];
    if (calls.wanted > 0) return;
    own = calls.unanswered;
  }
  const auto model = manager_.describe(ref.model);
  if (!model) return;
  const auto version = std::ranges::find(model->versions, ref, &models::VersionStatus::ref);
  if (version == model->versions.end() || version->waiting > own || version->leases > 0) return;
  if (version->state == models::State::kLoading || version->state == models::State::kWarming ||
      version->state == models::State::kCold) {
    // A caller who comes between the look and this call gets kCancelled and may ask again.
    (void)await([&](auto done) { return manager_.unload(ref, std::move(done)); });
  }
}

Status Core::unload(std::string_view name) {
  const auto ref = switcher_.resolve(name);
  if (!ref) return std::unexpected(ref.error());
  return await([&](auto done) { return manager_.unload(*ref, std::move(done)); });
}

Status Core::park(std::string_view name) {
  const auto ref = switcher_.resolve(name);
  if (!ref) return std::unexpected(ref.error());
  return await([&](auto done) { return manager_.park(*ref, std::move(done)); });
}

Status Core::resume(std::string_view name) {
  const auto ref = switcher_.resolve(name);
  if (!ref) return std::unexpected(ref.error());
  return await([&](auto done) { return manager_.resume(*ref, std::move(done)); });
}

Status Core::switch_model(std::string_view alias, std::string_view to, const SwitchOptions& options) {
  return move(
      {.alias = std::string(alias), .to = std::string(to), .when_missing = traffic::WhenMissing::kMake},
      options);
}

Status Core::rollback(std::string_view alias, const SwitchOptions& options) {
  return move({.alias = std::string(alias), .to = {}, .kind = traffic::Kind::kRollback}, options);
}

Status Core::move(traffic::SwitchRequest request, const SwitchOptions& options) {
  request.options = {.policy = static_cast<traffic::Policy>(options.policy),
                     .keep_old = static_cast<traffic::KeepOld>(options.keep_old),
                     .drain_timeout = options.drain_timeout,
                     .force = options.force,
                     .who = "library",
                     .why = options.why};
  const auto target = switcher_.resolve(request.to);
  const auto progress =
      watch_load(options, [target](const VersionRef& loading) { return !target || loading == *target; });
  const auto outcome = std::make_shared<Outcome>();
  request.done = [outcome](const traffic::SwitchReport& report) { outcome->set(report.status()); };
  // Cancelled once it has begun: before, there is nothing to be cancelled.
  const auto cancel = std::make_shared<std::optional<std::stop_callback<std::function<void()>>>>();
  request.begun = [this, cancel, stop = options.stop](const traffic::SwitchReport& report) {
    cancel->emplace(stop, [this, alias = report.alias, id = report.id] {
      switcher_.cancel(alias, [](const Status&) {}, id);
    });
  };
  switcher_.move(std::move(request));
  return outcome->wait();
}

Result<std::vector<SwitchRecord>> Core::history(std::string_view alias, std::size_t limit) const {
  const auto reports = switcher_.history(alias, limit);
  if (!reports) return std::unexpected(reports.error());
  std::vector<SwitchRecord> records;
  for (const traffic::SwitchReport& report : *reports) records.push_back(to_record(report));
  return records;
}

std::vector<ModelInfo> Core::list() const {
  std::vector<ModelInfo> all;
  for (const auto& model : manager_.list()) {
    for (const auto& version : model.versions) all.push_back(to_info(version));
  }
  return all;
}

std::map<std::string, std::string> Core::aliases() const {
  std::map<std::string, std::string> all;
  for (const auto& status : switcher_.aliases()) all[status.alias.name] = status.alias.to.to_string();
  return all;
}

/// Waits where a switch holds the alias's requests.
Result<VersionRef> Core::route(const std::string& name, const std::stop_token& stop) {
  const auto outcome = std::make_shared<Outcome>();
  const auto routed = std::make_shared<VersionRef>();
  switcher_.route(name, {}, [outcome, routed](const Result<VersionRef>& ref) {
    if (ref) *routed = *ref;
    outcome->set(ref ? Status() : Status(std::unexpected(ref.error())));
  });
  const std::stop_callback on_stop(stop, [&] {
    outcome->set(fail(ErrorCode::kCancelled, fmt::format("the wait for {} was cancelled", name)));
  });
  if (auto status = outcome->wait(); !status) return std::unexpected(status.error());
  return *routed;
}

Result<Lease> Core::acquire(std::string_view name, std::stop_token stop) {
  const auto ref = route(std::string(name), stop);
  if (!ref) return std::unexpected(ref.error());
  auto held = manager_.acquire_blocking(*ref, {}, std::move(stop));
  if (!held) return std::unexpected(held.error());
  return Lease(
      std::make_unique<LeaseState>(LeaseState{shared_from_this(), std::move(*held), ref->to_string()}));
}

}  // namespace switchyard::library
