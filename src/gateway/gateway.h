#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "engine/api/process_routes.h"
#include "gateway/reply_sink.h"
#include "gateway/request_record.h"
#include "gateway/stream_owners.h"
#include "models/manager.h"

namespace switchyard::gateway {

class Call;

/// One request for an engine as the dialects hand it over.
struct CallOptions {
  std::string model;  ///< the name the client asked for
  models::MakeHot make_hot = models::MakeHot::kAnything;
  std::string conversation = {};  ///< X-Conversation-Id: such a request outlives its client while it is held
};

/// The life of a request: resolve the name once, lease its version (held meanwhile, without a
/// thread), run the engine on a worker thread, hand the reply to the sink piece by piece, give
/// everything back. A reply is never cut silently: what ends early ends with an error frame.
///
/// Any thread; no method blocks but wait_idle() and the destructor, which does the same.
class Gateway {
 public:
  struct Dependencies {
    models::Manager& manager;
    Executor& executor;  ///< runs engines' replies; must outlive the gateway
    /// Finds out what a name means and calls `done` once: at once, or when a switch that holds the
    /// name's requests has ended.
    std::function<void(const std::string& name, std::function<void(Result<models::VersionRef>)> done)> route;
    /// What a name means now, for requests that change nothing and wait for nothing.
    std::function<Result<models::VersionRef>(const std::string& name)> resolve;
    engine::ProcessRoutes* process_routes = nullptr;
    RequestObserver observer;
    /// Called on a worker with an engine that a request is about to give back.
    std::function<void(const models::VersionRef&, engine::Engine&)> before_release;
    const Clock& clock = Clock::steady();
  };

  explicit Gateway(Dependencies dependencies);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// Answers `request` by the engine that `options.model` means. request.should_stop is set here.
  void run(CallOptions options, engine::Request request, std::shared_ptr<ReplySink> sink);
  /// Answers `request` by the process-wide handlers.
  void run_process(engine::Request request, std::shared_ptr<ReplySink> sink);

  /// True while the newest request of this conversation is held and its stream does not exist yet.
  [[nodiscard]] bool conversation_is_held(const std::string& conversation) const;
  /// A stop by its owner: refuses the held requests of a conversation and ends its streams. Waits for
  /// llama.cpp's lock: call it on a worker.
  void stop_conversation(const std::string& conversation);
  [[nodiscard]] const StreamOwners& streams() const { return streams_; }

  /// Refuses new requests with kUnavailable; held and running ones go on.
  void begin_shutdown();
  /// Refuses the held ones, too, and asks the running ones to end.
  void stop_all();
  /// Blocks until no request is held or running.
  void wait_idle();
  [[nodiscard]] std::size_t in_flight() const;
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
  void count_lease(const models::VersionRef& version, int change);
  [[nodiscard]] std::vector<std::shared_ptr<Call>> calls() const;

  using HeldKey = std::pair<std::string, models::VersionRef>;  // conversation, and who is to answer in it

  const Dependencies dependencies_;
  StreamOwners streams_;
  mutable Mutex mutex_;
  CondVar empty_;
  bool refusing_ GUARDED_BY(mutex_) = false;
  std::map<Call*, std::weak_ptr<Call>> calls_ GUARDED_BY(mutex_);
  std::map<HeldKey, Call*> held_conversations_ GUARDED_BY(mutex_);
  std::map<Call*, std::shared_ptr<Call>> routing_ GUARDED_BY(mutex_);  // kept alive until routed or refused
  std::map<models::VersionRef, int> leased_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::gateway
