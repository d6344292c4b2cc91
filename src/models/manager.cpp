#include "models/manager.h"

#include <optional>
#include <utility>

#include "base/mutex.h"
#include "models/manager_impl.h"

namespace switchyard::models {

Lease::Lease(Lease&& other) noexcept { *this = std::move(other); }

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  manager_ = std::exchange(other.manager_, nullptr);
  entry_ = std::exchange(other.entry_, nullptr);
  engine_ = std::exchange(other.engine_, nullptr);
  ref_ = std::move(other.ref_);
  use_ = other.use_;
  slots_ = other.slots_;
  revocation_ = std::move(other.revocation_);
  room_wanted_ = std::move(other.room_wanted_);
  return *this;
}

void Lease::release() {
  Manager* const manager = std::exchange(manager_, nullptr);
  if (manager == nullptr) return;
  engine_ = nullptr;
  revocation_ = nullptr;
  room_wanted_ = {};
  manager->impl_->give_back(*std::exchange(entry_, nullptr), use_);
}

AcquireTicket::AcquireTicket() = default;
AcquireTicket::AcquireTicket(AcquireTicket&& other) noexcept
    : manager_(std::exchange(other.manager_, nullptr)), waiter_(std::move(other.waiter_)) {}

AcquireTicket& AcquireTicket::operator=(AcquireTicket&& other) noexcept {
  if (this == &other) return *this;
  cancel();
  manager_ = std::exchange(other.manager_, nullptr);
  waiter_ = std::move(other.waiter_);
  return *this;
}

bool AcquireTicket::cancel() {
  const auto waiter = std::exchange(waiter_, nullptr);
  Manager* const manager = std::exchange(manager_, nullptr);
  if (waiter == nullptr || waiter->claimed.exchange(true)) return false;
  manager->impl_->forget(waiter);
  return true;
}

Keep::Keep(Keep&& other) noexcept { *this = std::move(other); }

Keep& Keep::operator=(Keep&& other) noexcept {
  if (this == &other) return *this;
  release();
  manager_ = std::exchange(other.manager_, nullptr);
  entry_ = std::move(other.entry_);
  return *this;
}

void Keep::release() {
  Manager* const manager = std::exchange(manager_, nullptr);
  if (manager != nullptr) manager->impl_->let_go(std::exchange(entry_, nullptr));
}

Manager::Manager(Dependencies dependencies, Limits limits)
    : impl_(std::make_unique<Impl>(*this, dependencies, std::move(limits))) {}
Manager::~Manager() = default;

Status Manager::check(const std::vector<ModelDefinition>& models) { return impl_->check(models); }
Status Manager::set_catalog(const std::vector<ModelDefinition>& models, Preload preload) {
  return impl_->set_catalog(models, preload);
}
void Manager::set_limits(Limits limits) { impl_->set_limits(std::move(limits)); }
Limits Manager::limits() const { return impl_->limits(); }
Result<VersionRef> Manager::resolve(std::string_view name) const { return impl_->resolve(name); }
std::vector<ModelStatus> Manager::list() const { return impl_->list(); }
Result<ModelStatus> Manager::describe(std::string_view model_id) const { return impl_->describe(model_id); }
std::optional<Standing> Manager::standing(const VersionRef& ref) const { return impl_->standing(ref); }
std::vector<RunningEngine> Manager::running() const { return impl_->running(); }
std::optional<HealthSettings> Manager::health_settings(std::string_view model_id) const {
  return impl_->health_settings(model_id);
}
bool Manager::can_answer() const { return impl_->can_answer(); }
std::vector<Resident> Manager::residents() const { return impl_->residents(); }
std::map<std::string, std::vector<std::string>> Manager::versions() const { return impl_->versions(); }
Counters Manager::counters() const { return impl_->counters(); }
ByteSize Manager::reserved(const std::string& device) const { return impl_->reserved(device); }

AcquireTicket Manager::acquire(const VersionRef& ref, AcquireOptions options,
                               std::function<void(Result<Lease>)> done) {
  return impl_->acquire(ref, options, std::move(done));
}

Result<Lease> Manager::acquire_blocking(const VersionRef& ref, AcquireOptions options, std::stop_token stop) {
  struct Answer {
    Mutex mutex;
    CondVar came;
    std::optional<Result<Lease>> result GUARDED_BY(mutex);
    bool stopped GUARDED_BY(mutex) = false;
  };
  const auto answer = std::make_shared<Answer>();
  AcquireTicket ticket = acquire(ref, options, [answer](Result<Lease> result) {
    const MutexLock lock(answer->mutex);
    answer->result = std::move(result);
    answer->came.notify_all();
  });
  const std::stop_callback on_stop(stop, [answer] {
    const MutexLock lock(answer->mutex);
    answer->stopped = true;
    answer->came.notify_all();
  });
  MutexLock lock(answer->mutex);
  while (!answer->result && !answer->stopped) answer->came.wait(answer->mutex);
  if (!answer->result) {
    lock.unlock();
    ticket.cancel();
    lock.lock();
  }
  if (!answer->result)
    return fail(ErrorCode::kCancelled, "the wait for model '" + ref.to_string() + "' was cancelled");
  return std::move(*answer->result);
}

Status Manager::load(const VersionRef& ref, Done done) { return impl_->load(ref, std::move(done)); }
Status Manager::preload(const VersionRef& ref, Done done) { return impl_->preload(ref, std::move(done)); }
Status Manager::unload(const VersionRef& ref, Done done) { return impl_->unload(ref, std::move(done)); }
Status Manager::park(const VersionRef& ref, Done done) { return impl_->park(ref, std::move(done)); }
Status Manager::resume(const VersionRef& ref, Done done) { return impl_->resume(ref, std::move(done)); }
Status Manager::leave(const VersionRef& ref, LeaveOptions options, Done done) {
  return impl_->leave(ref, std::move(options), std::move(done));
}
void Manager::stay(const VersionRef& ref) { impl_->stay(ref); }
Keep Manager::keep(const VersionRef& ref) {
  Keep keep;
  keep.entry_ = impl_->keep(ref);
  if (keep.entry_ != nullptr) keep.manager_ = this;
  return keep;
}
void Manager::inspect(const VersionRef& ref, std::function<void(Result<engine::Inspection>)> done) {
  impl_->inspect(ref, std::move(done));
}
Result<Preview> Manager::preview(const VersionRef& ref, const PreviewOptions& options) const {
  return impl_->preview(ref, options);
}
Status Manager::mark_broken(const VersionRef& ref, const Error& why, const engine::Engine* only) {
  return impl_->mark_broken(ref, why, only);
}
Status Manager::quarantine(const VersionRef& ref, const std::string& reason) {
  return impl_->quarantine(ref, reason);
}
Status Manager::end_quarantine(const VersionRef& ref) { return impl_->end_quarantine(ref); }
Status Manager::pin(std::string_view model_id, bool pinned) { return impl_->pin(model_id, pinned); }
Manager::Shed Manager::shed(ByteSize bytes) { return impl_->shed(bytes); }
void Manager::pulse(std::function<void()> done) { impl_->pulse(std::move(done)); }
void Manager::tick() { impl_->tick(); }
void Manager::begin_shutdown() { impl_->begin_shutdown(); }
void Manager::drain_all(Duration bound) { impl_->drain_all(bound); }

}  // namespace switchyard::models
