#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "engine/api/process_routes.h"
#include "gateway/admission.h"
#include "gateway/reply_sink.h"
#include "gateway/request_record.h"
#include "gateway/stream_owners.h"
#include "gateway/tier.h"
#include "gateway/turns.h"
#include "models/manager.h"

namespace switchyard::gateway {

class Call;

/// One request for an engine as the dialects hand it over.
struct CallOptions {
  std::string model;         ///< the name the client asked for
  std::string subject = {};  ///< who asks, where that decides which arm of a split answers
  std::string segment = {};  ///< the part of an experiment's report that it belongs to, where one is cut up
  std::string request_id = {};
  models::MakeHot make_hot = models::MakeHot::kAnything;
  std::string conversation = {};  ///< X-Conversation-Id: such a request outlives its client while it is held
  std::optional<Duration> patience = {};  ///< until the head of the reply: then kTimeout
  RequestObserver observer = {};          ///< of this one, before the gateway's
  std::string tenant = {};                ///< the id of the key that asks; empty: none
  bool takes_slot = false;                ///< it generates: it takes its turn at the engine's slots
  double weight = 1;                      ///< of the tenant, against others'
  Tier tier = Tier::kDefault;
};

/// The life of a request: resolve the name once, find a place in the queue of its version (or kOverloaded),
/// lease that (held meanwhile, without a thread), wait for a turn at its slots, run the engine on a worker
/// thread, hand the reply to the sink piece by piece, give everything back. A reply is never cut silently:
/// what ends early ends with an error frame.
///
/// Any thread; no method blocks but wait_idle() and the destructor, which does the same.
class Gateway {
 public:
  struct Dependencies {
    models::Manager& manager;
    Executor& executor;  ///< runs engines' replies; must outlive the gateway
    /// Finds out what a name means and calls `done` once: at once, or when a switch that holds the
    /// name's requests has ended.
    std::function<void(const std::string& name, const std::string& subject,
                       std::function<void(Result<models::VersionRef>)> done)>
        route;
    /// What a name means now, for requests that change nothing and wait for nothing.
    std::function<Result<models::VersionRef>(const std::string& name)> resolve;
    /// Who stands in, in this order, while what a name means cannot answer. May be empty.
    std::function<std::vector<models::VersionRef>(const std::string& name)> fallbacks = {};
    engine::ProcessRoutes* process_routes = nullptr;
    RequestObserver observer;
    /// Called on a worker with an engine that a request is about to give back.
    std::function<void(const models::VersionRef&, engine::Engine&)> before_release;
    const Clock& clock = Clock::steady();
  };

  explicit Gateway(Dependencies dependencies, RequestLimits limits = {});
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// Answers `request` by the engine that `options.model` means. request.should_stop is set here.
  void run(CallOptions options, engine::Request request, std::shared_ptr<ReplySink> sink);
  /// Answers `request` by the process-wide handlers.
  void run_process(engine::Request request, std::shared_ptr<ReplySink> sink);

  /// Holds for what comes from now on, and for readers that are slow from now on.
  void set_limits(const RequestLimits& limits);
  /// Refuses those that have waited for as long as their clients do, and ends the streams of readers that
  /// have been too slow for too long. To be called every fraction of a second.
  void end_overdue();

  /// True while the newest request of this conversation is held and its stream does not exist yet.
  [[nodiscard]] bool conversation_is_held(const std::string& conversation) const;
  /// A stop by its owner: refuses the held requests of a conversation and ends its streams. Waits for
  /// llama.cpp's lock: call it on a worker.
  void stop_conversation(const std::string& conversation);
  [[nodiscard]] const StreamOwners& streams() const { return streams_; }
  /// Requests that wait for a slot of a hot engine, by model.
  [[nodiscard]] std::map<std::string, std::uint32_t> waiting_for_slots() const { return turns_.waiting(); }

  /// Refuses new requests with kUnavailable; held and running ones go on.
  void begin_shutdown();
  /// Refuses the held ones, too, and asks the running ones to end.
  void stop_all();
  /// Blocks until no request is held or running.
  void wait_idle();
  [[nodiscard]] std::size_t in_flight() const;
  /// Those among them that are not the server's own (Tier::kBackground), and that an engine is to answer.
  /// Quick: asked for every token of those that give way to them.
  [[nodiscard]] std::size_t users() const { return users_; }
  /// Versions that requests have leased now.
  [[nodiscard]] std::vector<models::VersionRef> leased_versions() const;

 private:
  friend class Call;
  [[nodiscard]] bool enter(const std::shared_ptr<Call>& call);
  [[nodiscard]] std::shared_ptr<Call> take_routing(Call& call);
  void leave(Call& call);
  void remember_conversation(Call& call, const models::VersionRef& version);
  void forget_conversation(Call& call);
  void forget_held(Call& call) REQUIRES(mutex_);
  void end_stream(const models::VersionRef& version, const std::string& conversation);
  [[nodiscard]] std::optional<Error> admit(Call& call, const models::VersionRef& version);
  void count_lease(const models::VersionRef& version, int change);
  [[nodiscard]] std::vector<std::shared_ptr<Call>> calls() const;

  /// The requests for one version, held or with its engine.
  struct Demand {
    std::uint32_t requests = 0;
    std::uint32_t slots = 0;  ///< of its engine, when the last of them came
  };
  using HeldKey = std::pair<std::string, models::VersionRef>;  // conversation, and who is to answer in it

  const Dependencies dependencies_;
  StreamOwners streams_;
  Turns turns_;
  std::atomic<std::size_t> users_ = 0;
  mutable Mutex mutex_;
  CondVar empty_;
  bool refusing_ GUARDED_BY(mutex_) = false;
  RequestLimits limits_ GUARDED_BY(mutex_);
  std::map<models::VersionRef, Demand> demand_ GUARDED_BY(mutex_);
  std::map<Call*, std::weak_ptr<Call>> calls_ GUARDED_BY(mutex_);
  std::map<HeldKey, Call*> held_conversations_ GUARDED_BY(mutex_);
  std::map<Call*, std::shared_ptr<Call>> routing_ GUARDED_BY(mutex_);  // kept alive until routed or refused
  std::map<models::VersionRef, int> leased_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::gateway
