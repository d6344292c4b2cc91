#include "traffic/switcher.h"

#include <utility>

namespace switchyard::traffic {

Switcher::Switcher(Dependencies dependencies) : dependencies_(dependencies) {}

Switcher::~Switcher() {
  std::map<const Switch*, models::AcquireTicket> tickets;
  std::vector<std::shared_ptr<Switch>> cut;
  MutexLock lock(mutex_);
  std::swap(tickets, tickets_);
  for (auto& [alias, queue] : queues_) {
    while (queue.size() > 1) {
      cut.push_back(std::move(queue.back()));
      queue.pop_back();
    }
    if (tickets.contains(queue.front().get())) cut.push_back(queue.front());
  }
  lock.unlock();
  for (const auto& one : cut) {
    const auto ticket = tickets.find(one.get());
    const bool waits_in_line = ticket == tickets.end();
    if (waits_in_line) {
      one->done(fail(ErrorCode::kCancelled, "the switch of '" + one->alias + "' was cancelled"));
    } else if (ticket->second.cancel()) {
      loaded(one, fail(ErrorCode::kCancelled, "the server is shutting down"));
    }
  }
  lock.lock();
  while (!queues_.empty()) idle_.wait(mutex_);
}

Status Switcher::check(const Alias& alias) const {
  if (dependencies_.manager.resolve(alias.name)) {
    return fail(ErrorCode::kInvalidArgument, "the alias '" + alias.name + "' has the name of a model");
  }
  const auto target = dependencies_.manager.resolve(alias.to.to_string());
  if (!target) {
    return fail(ErrorCode::kNotFound,
                "the alias '" + alias.name + "' points at '" + alias.to.to_string() + "'",
                target.error().message);
  }
  return {};
}

Status Switcher::set_aliases(const std::vector<Alias>& aliases) {
  for (const Alias& alias : aliases) {
    if (auto checked = check(alias); !checked) return checked;
  }
  return table_.set_all(aliases);
}

Status Switcher::add_alias(const Alias& alias) {
  if (auto checked = check(alias); !checked) return checked;
  return table_.add(alias);
}

Result<models::VersionRef> Switcher::resolve(std::string_view name) const {
  if (auto version = table_.find(name)) return *std::move(version);
  return dependencies_.manager.resolve(name);
}

void Switcher::switch_alias(const std::string& alias, const models::VersionRef& to, SwitchOptions options,
                            Done done) {
  if (!done) done = [](const Status&) {};
  const auto one =
      std::make_shared<Switch>(alias, to, std::move(options), std::move(done), dependencies_.clock.now());
  if (!table_.find(alias)) {
    one->done(fail(ErrorCode::kNotFound, "no alias is called '" + alias + "'"));
    return;
  }
  bool first = false;
  {
    const MutexLock lock(mutex_);
    auto& queue = queues_[alias];
    queue.push_back(one);
    first = queue.size() == 1;
  }
  if (first) begin(one);
}

void Switcher::begin(const std::shared_ptr<Switch>& one) {
  auto ticket = dependencies_.manager.acquire(
      one->to, {}, [this, one](Result<models::Lease> lease) { loaded(one, std::move(lease)); });
  const MutexLock lock(mutex_);
  // The answer may have come already, and with it the end of this switch.
  const auto queue = queues_.find(one->alias);
  if (queue != queues_.end() && queue->second.front() == one) tickets_[one.get()] = std::move(ticket);
}

void Switcher::loaded(const std::shared_ptr<Switch>& one, Result<models::Lease> lease) {
  const models::VersionRef from = table_.find(one->alias).value_or(models::VersionRef{});
  if (!lease) {
    const Error& error = lease.error();
    ended(one, from,
          fail(error.code,
               "alias '" + one->alias + "' was not switched: loading '" + one->to.to_string() +
                   "' failed, '" + from.to_string() + "' goes on serving: " + error.message,
               error.cause));
    return;
  }
  // The lease keeps the new version hot until requests find it.
  const Status flipped = table_.point(one->alias, one->to);
  if (flipped && from != one->to && one->options.old == OldVersion::kPark && !table_.points_at(from)) {
    (void)dependencies_.manager.park(from);  // not loaded is as good
  }
  ended(one, from, flipped);
}

void Switcher::ended(const std::shared_ptr<Switch>& one, const models::VersionRef& from,
                     const Status& status) {
  telemetry::Event event;
  event.type = "alias";
  event.model = one->to.model;
  event.version = one->to.version;
  event.text = {{"alias", one->alias},
                {"from", from.to_string()},
                {"to", one->to.to_string()},
                {"result", status ? "ok" : "failed"},
                {"cause", one->options.cause}};
  if (!status) event.text["error"] = status.error().to_string();
  event.numbers["duration_ms"] =
      std::chrono::duration<double, std::milli>(dependencies_.clock.now() - one->began).count();
  dependencies_.events.publish(std::move(event));
  one->done(status);

  std::shared_ptr<Switch> next;
  models::AcquireTicket used;
  {
    const MutexLock lock(mutex_);
    ++(status ? counters_.ok : counters_.failed);
    const auto ticket = tickets_.find(one.get());
    if (ticket != tickets_.end()) {
      used = std::move(ticket->second);
      tickets_.erase(ticket);
    }
    const auto queue = queues_.find(one->alias);
    queue->second.erase(queue->second.begin());
    if (queue->second.empty()) {
      queues_.erase(queue);
      idle_.notify_all();
    } else {
      next = queue->second.front();
    }
  }
  if (next != nullptr) begin(next);
}

SwitchCounters Switcher::counters() const {
  const MutexLock lock(mutex_);
  return counters_;
}

}  // namespace switchyard::traffic
