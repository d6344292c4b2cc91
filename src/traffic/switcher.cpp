#include "traffic/switcher.h"

#include <utility>

#include "base/nearest.h"
#include "traffic/switch_record.h"
#include "traffic/switcher_impl.h"

// What callers see: names are read from the table, everything else is handed to the strand.

namespace switchyard::traffic {

Switcher::Switcher(Dependencies dependencies) : impl_(std::make_shared<Impl>(dependencies)) { impl_->open(); }
Switcher::~Switcher() { impl_->close(); }

Status Switcher::define(const std::vector<Alias>& aliases,
                        const std::map<models::VersionRef, models::VersionRef>& successors) {
  return impl_->define(aliases, successors);
}
Result<models::VersionRef> Switcher::resolve(std::string_view name) const { return impl_->resolve(name); }
Result<models::VersionRef> Switcher::resolve(std::string_view name, std::string_view subject) const {
  return impl_->resolve(name, subject);
}
void Switcher::route(const std::string& name, const std::string& subject,
                     std::function<void(Result<models::VersionRef>)> done) {
  impl_->route(name, subject, std::move(done));
}
std::shared_ptr<const Split> Switcher::split_of(std::string_view name) const { return impl_->split_of(name); }
bool Switcher::is_alias(std::string_view name) const { return impl_->is_alias(name); }
std::vector<models::VersionRef> Switcher::fallbacks(std::string_view name) const {
  return impl_->fallbacks(name);
}
void Switcher::move(SwitchRequest request) { impl_->move(std::move(request)); }
void Switcher::cancel(const std::string& alias, std::function<void(Status)> done,
                      std::optional<std::int64_t> id) {
  impl_->cancel(alias, std::move(done), id);
}
void Switcher::remove(const std::string& alias, const SwitchOptions& options,
                      std::function<void(Status)> done) {
  impl_->remove(alias, options, std::move(done));
}
void Switcher::preview(SwitchRequest request, std::function<void(Result<SwitchPreview>)> done) {
  impl_->preview(std::move(request), std::move(done));
}
std::vector<AliasStatus> Switcher::aliases() const { return impl_->aliases(); }
std::vector<Alias> Switcher::names() const { return impl_->names(); }
Result<AliasStatus> Switcher::describe(std::string_view name) const { return impl_->describe(name); }
Result<std::vector<SwitchReport>> Switcher::history(std::string_view name, std::size_t limit) const {
  return impl_->history(name, limit);
}

Switcher::Impl::Impl(const Dependencies& dependencies)
    : dependencies_(dependencies), store_(dependencies.state), strand_(dependencies.executor) {}

void Switcher::Impl::open() {
  load_names();
  subscription_ = dependencies_.events.subscribe([weak = weak_from_this()](const telemetry::Event& event) {
    if (const auto self = weak.lock()) self->on_event(event);
  });
}

void Switcher::Impl::close() {
  subscription_ = {};
  strand_.call([this] {
    closing_ = true;
    const Error over{ErrorCode::kCancelled, "the server is shutting down"};
    for (const SwitchPtr& one : std::vector(active_)) {
      if (one->flipped) {
        end(one, Outcome::kOk, std::nullopt);
      } else {
        end(one, Outcome::kCancelled, over);
      }
    }
  });
  strand_.finish();
}

Status Switcher::Impl::define(const std::vector<Alias>& aliases, const Successors& successors) {
  Status status;
  strand_.call([&] { status = define_now(aliases, successors); });
  return status;
}

Result<models::VersionRef> Switcher::Impl::resolve(std::string_view name) const {
  if (const auto position = table_.find(name)) return position->to;
  auto ref = dependencies_.manager.resolve(name);
  const std::size_t at = name.rfind('@');
  if (ref) {
    if (at != std::string_view::npos) return ref;
    const auto position = table_.find(ref->model);  // a further name of a model means what its id means
    return position ? position->to : *std::move(ref);
  }
  if (at == std::string_view::npos) return ref;
  const std::string_view label = name.substr(at + 1);
  if (label != "latest" && label != "stable" && label != "previous") return ref;
  const auto base = resolve(name.substr(0, at));
  if (!base) return base;
  if (label == "stable") return base;
  if (label == "latest") return dependencies_.manager.resolve(base->model);
  if (const auto status = describe(name.substr(0, at)); status && !status->previous.empty())
    return status->previous.front();
  return fail(ErrorCode::kNotFound,
              "'" + std::string(name.substr(0, at)) + "' has meant no other version before");
}

Result<models::VersionRef> Switcher::Impl::resolve(std::string_view name, std::string_view subject) const {
  const auto position = table_.find(name);
  if (position != nullptr && position->split != nullptr) return position->split->of(name, subject);
  return position != nullptr ? position->to : resolve(name);
}

std::shared_ptr<const Split> Switcher::Impl::split_of(std::string_view name) const {
  const auto position = table_.find(name);
  return position == nullptr ? nullptr : position->split;
}

bool Switcher::Impl::is_alias(std::string_view name) const {
  const auto position = table_.find(name);
  return position != nullptr && !position->is_model;
}

void Switcher::Impl::route(const std::string& name, const std::string& subject, RouteDone done) {
  auto position = table_.find(name);
  std::string key = name;
  if (!position && !name.contains('@')) {
    if (const auto ref = dependencies_.manager.resolve(name)) {
      key = ref->model;
      position = table_.find(key);
    }
  }
  if (!position || !position->ask) return done(resolve(name, subject));
  strand_.post([this, key, subject, done = std::move(done)] { route_now(key, subject, done); });
}

std::vector<models::VersionRef> Switcher::Impl::fallbacks(std::string_view name) const {
  std::vector<models::VersionRef> versions;
  const auto position = table_.find(name);
  if (!position) return versions;
  if (position->split != nullptr) {
    for (const Arm& arm : position->split->arms) versions.push_back(arm.to);
  }
  for (const std::string& fallback : position->fallbacks) {
    if (auto ref = resolve(fallback)) versions.push_back(*std::move(ref));
  }
  return versions;
}

void Switcher::Impl::move(SwitchRequest request) {
  strand_.post([this, request = std::move(request)] { start(request); });
}

void Switcher::Impl::cancel(const std::string& alias, std::function<void(Status)> done,
                            std::optional<std::int64_t> id) {
  strand_.post([this, alias, id, done = std::move(done)] {
    const auto key = key_of(alias, WhenMissing::kRefuse);
    if (!key) return done(std::unexpected(key.error()));
    const auto name = names_.find(*key);
    if (name == names_.end() || name->second.current == nullptr ||
        name->second.current->report.id != id.value_or(name->second.current->report.id)) {
      return done(fail(ErrorCode::kConflict, "no switch of '" + *key + "' is waiting for its flip"));
    }
    const SwitchPtr one = name->second.current;
    end(one, Outcome::kCancelled,
        Error{ErrorCode::kCancelled, "the switch of '" + *key + "' to '" + one->report.to.to_string() +
                                         "' was cancelled in its phase " +
                                         std::string(to_string(one->report.phase))});
    done({});
  });
}

std::vector<AliasStatus> Switcher::Impl::aliases() const {
  std::vector<AliasStatus> all;
  const MutexLock lock(mutex_);
  for (const auto& [name, status] : shown_) {
    if (!status.is_model && !status.alias.to.model.empty()) all.push_back(status);
  }
  return all;
}

Result<AliasStatus> Switcher::Impl::describe(std::string_view name) const {
  const auto ref = name.contains('@') ? Result<models::VersionRef>(fail(ErrorCode::kNotFound, ""))
                                      : dependencies_.manager.resolve(name);
  {
    const MutexLock lock(mutex_);
    auto found = shown_.find(name);
    if (found == shown_.end() && ref) found = shown_.find(ref->model);
    if (found != shown_.end() && !found->second.alias.to.model.empty()) return found->second;
  }
  if (ref) {
    AliasStatus status{.alias = {ref->model, *ref}, .is_model = true, .defined = {}, .previous = {}};
    return status;
  }
  std::vector<std::string> known;
  for (const Alias& alias : table_.list()) known.push_back(alias.name);
  return fail(ErrorCode::kNotFound,
              "no alias is called '" + std::string(name) + "'" + did_you_mean(name, known));
}

Result<std::vector<SwitchReport>> Switcher::Impl::history(std::string_view name, std::size_t limit) const {
  std::string key(name);
  if (!table_.find(name) && !name.contains('@')) {
    if (const auto ref = dependencies_.manager.resolve(name)) key = ref->model;
  }
  const auto rows = store_.history(key, limit);
  if (!rows) return std::unexpected(rows.error());
  std::vector<SwitchReport> reports;
  for (const store::SwitchRow& row : *rows) reports.push_back(to_report(row));
  return reports;
}

void Switcher::Impl::on_event(const telemetry::Event& event) {
  const models::VersionRef ref{event.model, event.version};
  const auto text = [&](const char* key) {
    const auto found = event.text.find(key);
    return found == event.text.end() ? std::string() : found->second;
  };
  if (event.type == "state") {
    strand_.post([this, ref, to = text("to"), at = now()] { note_state(ref, to, at); });
  } else if (event.type == "load_progress" && event.numbers.contains("progress") &&
             event.numbers.at("progress") >= 1) {
    const std::string stage = text("stage"), stages = text("stages");
    const bool weights_are_there =
        stage != "warmup" && (stages.ends_with(stage + ",warmup") || stages == stage);
    if (weights_are_there) strand_.post([this, ref, at = now()] { note_weights(ref, at); });
  }
}

models::State Switcher::Impl::state_of(const models::VersionRef& ref) const {
  const auto standing = dependencies_.manager.standing(ref);
  return standing ? standing->state : models::State::kCold;
}

std::uint32_t Switcher::Impl::leases_of(const models::VersionRef& ref) const {
  const auto standing = dependencies_.manager.standing(ref);
  return standing ? standing->leases : 0;
}

}  // namespace switchyard::traffic
