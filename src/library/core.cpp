#include "library/core.h"

#include <fmt/format.h>

#include <algorithm>

#include "library/catalog.h"
#include "library/outcome.h"

namespace switchyard::library {

using models::VersionRef;

Core::Core(std::unique_ptr<engine::EngineLoader> loader, const models::Limits& limits)
    : loader_(std::move(loader)),
      manager_({.loader = *loader_, .executor = executor_, .events = events_}, limits),
      switcher_({.manager = manager_, .events = events_}) {}

Status Core::add_model(const ModelConfig& config) {
  auto spec = make_spec(config);
  if (!spec) return std::unexpected(spec.error());
  const MutexLock catalog_lock(catalog_mutex_);
  if (std::ranges::any_of(switcher_.aliases(), [&](const auto& alias) { return alias.name == config.id; })) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("'{}' is an alias; give the model another id", config.id));
  }
  std::vector<models::ModelDefinition> changed;
  {
    const MutexLock lock(mutex_);
    changed = definitions_;
  }
  put_version(changed, config, std::move(*spec));
  if (auto set = manager_.set_catalog(changed, models::Manager::Preload::kNo); !set) return set;
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

Status Core::load(std::string_view name, const LoadOptions& options) {
  const auto ref = switcher_.resolve(name);
  return ref ? load(*ref, options) : Status(std::unexpected(ref.error()));
}

Status Core::load(const VersionRef& ref, const LoadOptions& options) {
  telemetry::EventBus::Subscription progress;
  if (options.on_progress) {
    progress = events_.subscribe([&](const telemetry::Event& event) {
      if (event.type != "load_progress" || event.model != ref.model || event.version != ref.version) return;
      const auto stage = event.text.find("stage");
      const auto value = event.numbers.find("progress");
      if (stage == event.text.end() || value == event.numbers.end()) return;
      options.on_progress({.stage = stage->second, .value = value->second});
    });
  }
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

Status Core::switch_model(std::string_view alias, std::string_view to, const LoadOptions& options) {
  const auto ref = switcher_.resolve(to);
  if (!ref) return std::unexpected(ref.error());
  // First of all hot, with progress and cancellation; the switcher then finds it so.
  if (auto loaded = load(*ref, options); !loaded) return loaded;
  const auto known = switcher_.aliases();
  const auto found = std::ranges::find(known, alias, &traffic::Alias::name);
  if (found == known.end()) return add_alias(alias, *ref);
  traffic::SwitchOptions how;
  how.old = is_pinned(found->to) ? traffic::OldVersion::kKeep : traffic::OldVersion::kPark;
  return await([&](auto done) {
    switcher_.switch_alias(found->name, *ref, how, std::move(done));
    return Status();
  });
}

Status Core::add_alias(std::string_view name, const VersionRef& to) {
  if (name.contains('@')) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("'{}' is no name for an alias: it has an '@'", name));
  }
  const MutexLock catalog_lock(catalog_mutex_);
  return switcher_.add_alias({.name = std::string(name), .to = to});
}

bool Core::is_pinned(const VersionRef& ref) const {
  const auto model = manager_.describe(ref.model);
  if (!model) return false;
  const auto version = std::ranges::find(model->versions, ref, &models::VersionStatus::ref);
  return version != model->versions.end() && version->pinned;
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
  for (const auto& alias : switcher_.aliases()) all[alias.name] = alias.to.to_string();
  return all;
}

Result<Lease> Core::acquire(std::string_view name, std::stop_token stop) {
  const auto ref = switcher_.resolve(name);
  if (!ref) return std::unexpected(ref.error());
  auto held = manager_.acquire_blocking(*ref, {}, std::move(stop));
  if (!held) return std::unexpected(held.error());
  return Lease(
      std::make_unique<LeaseState>(LeaseState{shared_from_this(), std::move(*held), ref->to_string()}));
}

}  // namespace switchyard::library
