#include "gateway/gateway.h"

#include <utility>

#include "gateway/call.h"

namespace switchyard::gateway {

std::string_view to_string(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::kAnswered: return "answered";
    case Outcome::kClientGone: return "client_gone";
    case Outcome::kFailed: return "failed";
  }
  return "failed";
}

Gateway::Gateway(Dependencies dependencies, RequestLimits limits)
    : dependencies_(std::move(dependencies)), turns_(dependencies_.clock) {
  set_limits(limits);
}

Gateway::~Gateway() { wait_idle(); }

void Gateway::wait_idle() {
  MutexLock lock(mutex_);
  while (!calls_.empty()) empty_.wait(mutex_);
}

void Gateway::run(CallOptions options, engine::Request request, std::shared_ptr<ReplySink> sink) {
  const std::string model = options.model, subject = options.subject;
  const bool may_wait = options.make_hot != models::MakeHot::kNothing;
  const auto call = std::make_shared<Call>(*this, std::move(options), std::move(request), std::move(sink));
  if (!enter(call)) return;
  {
    const MutexLock lock(mutex_);
    routing_[call.get()] = call;
  }
  if (!may_wait) return call->routed(dependencies_.resolve(model));
  // The callback may lie with a switch for long: it is this map that keeps the call, and lets it go.
  dependencies_.route(model, subject,
                      [weak = std::weak_ptr(call)](const Result<models::VersionRef>& version) {
                        if (const auto routed = weak.lock()) routed->routed(version);
                      });
  call->watch_client();
}

std::shared_ptr<Call> Gateway::take_routing(Call& call) {
  std::shared_ptr<Call> taken;
  const MutexLock lock(mutex_);
  const auto found = routing_.find(&call);
  if (found == routing_.end()) return taken;
  taken = std::move(found->second);
  routing_.erase(found);
  return taken;
}

void Gateway::run_process(engine::Request request, std::shared_ptr<ReplySink> sink) {
  const auto call = std::make_shared<Call>(*this, CallOptions{}, std::move(request), std::move(sink));
  if (!enter(call)) return;
  if (dependencies_.process_routes == nullptr) {
    call->refuse({ErrorCode::kUnimplemented, "this server has no resumable streams"});
    return;
  }
  call->begin_process();
}

bool Gateway::enter(const std::shared_ptr<Call>& call) {
  bool refuse = false;
  {
    const MutexLock lock(mutex_);
    calls_[call.get()] = call;
    if (call->is_of_a_user()) ++users_;
    refuse = refusing_;
  }
  if (refuse) call->refuse({ErrorCode::kUnavailable, "the server is shutting down"});
  return !refuse;
}

void Gateway::leave(Call& call) {
  const MutexLock lock(mutex_);
  forget_held(call);
  if (const auto demand = demand_.find(call.queued_for()); demand != demand_.end()) {
    if (--demand->second.requests == 0) demand_.erase(demand);
  }
  if (calls_.erase(&call) > 0 && call.is_of_a_user()) --users_;
  if (calls_.empty()) empty_.notify_all();
}

void Gateway::remember_conversation(Call& call, const models::VersionRef& version) {
  streams_.add(call.conversation(), version);
  std::shared_ptr<Call> replaced;
  {
    const MutexLock lock(mutex_);
    Call*& entry = held_conversations_[{call.conversation(), version}];
    if (entry != nullptr) replaced = calls_[entry].lock();
    entry = &call;
  }
  if (replaced != nullptr) replaced->stop_before_start();
}

void Gateway::forget_conversation(Call& call) {
  const MutexLock lock(mutex_);
  forget_held(call);
}

void Gateway::forget_held(Call& call) {
  auto held = held_conversations_.lower_bound({call.conversation(), {}});
  for (; held != held_conversations_.end() && held->first.first == call.conversation(); ++held) {
    if (held->second != &call) continue;
    held_conversations_.erase(held);
    return;
  }
}

bool Gateway::conversation_is_held(const std::string& conversation) const {
  const auto owners = streams_.of(conversation);
  const MutexLock lock(mutex_);
  return !owners.empty() && held_conversations_.contains({conversation, owners.front()});
}

void Gateway::stop_conversation(const std::string& conversation) {
  const auto owners = streams_.of(conversation);
  std::vector<std::shared_ptr<Call>> held;
  {
    const MutexLock lock(mutex_);
    for (const auto& owner : owners) {
      const auto found = held_conversations_.find({conversation, owner});
      if (found != held_conversations_.end()) held.push_back(calls_[found->second].lock());
    }
  }
  for (const auto& call : held) {
    if (call != nullptr) call->stop_before_start();
  }
  for (const auto& owner : owners) end_stream(owner, conversation);
  streams_.forget(conversation);
}

void Gateway::end_stream(const models::VersionRef& version, const std::string& conversation) {
  if (dependencies_.process_routes == nullptr) return;
  engine::Request stop;
  stop.method = "DELETE";
  stop.path = "/v1/stream";
  stop.params["conv_id"] = stream_key(version, conversation);
  (void)dependencies_.process_routes->handle(std::move(stop));
}

std::optional<Error> Gateway::admit(Call& call, const models::VersionRef& version) {
  const auto standing = dependencies_.manager.standing(version);
  const MutexLock lock(mutex_);
  Queue queue{.slots = standing ? standing->slots : 0};
  for (const auto& [other, demand] : demand_) queue.waiting += waiting_of(demand.requests, demand.slots);
  if (const auto demand = demand_.find(version); demand != demand_.end())
    queue.requests = demand->second.requests;
  if (auto error = why_not_queue(version.to_string(), queue, limits_)) return error;
  Demand& demand = demand_[version];
  ++demand.requests;
  demand.slots = queue.slots;
  call.queue_for(version);
  return std::nullopt;
}

void Gateway::set_limits(const RequestLimits& limits) {
  turns_.set({.keeps_a_slot_for = limits.keep_slot_for});
  const MutexLock lock(mutex_);
  limits_ = limits;
}

void Gateway::end_overdue() {
  Duration slow_reader_timeout{};
  {
    const MutexLock lock(mutex_);
    slow_reader_timeout = limits_.slow_reader_timeout;
  }
  for (const auto& call : calls()) call->end_if_overdue(slow_reader_timeout);
  turns_.look_again();
}

void Gateway::begin_shutdown() {
  const MutexLock lock(mutex_);
  refusing_ = true;
}

void Gateway::stop_all() {
  begin_shutdown();
  for (const auto& call : calls()) call->stop();
}

std::size_t Gateway::in_flight() const {
  const MutexLock lock(mutex_);
  return calls_.size();
}

void Gateway::count_lease(const models::VersionRef& version, int change) {
  const MutexLock lock(mutex_);
  int& count = leased_[version];
  count += change;
  if (count == 0) leased_.erase(version);
}

std::vector<models::VersionRef> Gateway::leased_versions() const {
  std::vector<models::VersionRef> versions;
  const MutexLock lock(mutex_);
  versions.reserve(leased_.size());
  for (const auto& [version, count] : leased_) versions.push_back(version);
  return versions;
}

std::vector<std::shared_ptr<Call>> Gateway::calls() const {
  std::vector<std::shared_ptr<Call>> alive;
  const MutexLock lock(mutex_);
  for (const auto& [key, weak] : calls_) {
    if (auto call = weak.lock()) alive.push_back(std::move(call));
  }
  return alive;
}

}  // namespace switchyard::gateway
