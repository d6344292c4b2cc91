#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/gate.h"
#include "base/mutex.h"
#include "gateway/gateway.h"
#include "models/manager.h"
#include "shadowing/byte_budget.h"
#include "shadowing/capture.h"
#include "shadowing/own_sink.h"
#include "shadowing/reply_text.h"
#include "shadowing/request_copy.h"
#include "traffic/shadows.h"

namespace switchyard::shadowing {

struct Bounds {
  std::size_t most_waiting = 64;          ///< copies of one shadow
  std::size_t most_bytes = 16 << 20;      ///< of all requests and replies that are held for copies
  std::size_t longest_request = 1 << 20;  ///< bytes of a body
  std::size_t longest_reply = 1 << 20;    ///< bytes of a reply, or of its stream
  /// Without a user's request before a copy begins, at least; at most where users have come into copies.
  Duration quiet{std::chrono::milliseconds(250)};
  Duration longest_quiet{std::chrono::seconds(60)};
};

/// Copies the requests that shadows choose, each once its user has the whole reply, and has the replies
/// compared. Nothing waits for a copy: it takes a version that is hot, or free room for one that is not; one
/// at a time of each shadow; and, unless its plan says otherwise, only while no user's request is in the
/// gateway. One that a user's request interrupts is made again later, after twice the quiet: a prompt that is
/// being evaluated cannot be stopped at once, and who asks every second is not to meet one every second. Any
/// thread; nothing blocks.
class Copies {
 public:
  struct Dependencies {
    gateway::Gateway& gateway;  ///< all of these must outlive it; no request may be left in the gateway
    models::Manager& manager;
    traffic::Shadows& shadows;
    Executor& executor;
    const Clock& clock = Clock::steady();
  };
  explicit Copies(Dependencies dependencies, Bounds bounds = {});

  /// A user's request on its way to the gateway. Where it is to be copied, what goes there is decorated:
  /// the reply is captured, and its end is told here.
  void watch(gateway::CallOptions& options, const engine::Request& request,
             std::shared_ptr<gateway::ReplySink>& sink);
  /// Begins what is due. To be called every fraction of a second.
  void tick();
  /// Forgets what waits, and ends what runs.
  void stop();

  /// Copies that wait or run.
  [[nodiscard]] std::size_t waiting(std::string_view alias) const EXCLUDES(mutex_);

 private:
  /// One request from the end of its user's reply until that is compared. Of one thread at a time.
  struct Job {
    traffic::ShadowPtr shadow;
    ReplyForm form = ReplyForm::kChat;
    std::string path, body, request_id;
    std::string owner;                 ///< engine::Request::owner
    HeldBytes held;                    ///< for body
    models::VersionRef answered = {};  ///< who answered the user
    Captured reply = {};
    std::optional<std::uint64_t> tokens = {};
    std::optional<Duration> first_token = {};
    Duration total{0};
    std::chrono::system_clock::time_point at = {};
    unsigned interruptions = 0;
    // Of the copy, once it has been answered.
    std::optional<ReplyText> copied = {};
    RequestCopy request = {};
    std::optional<Duration> copy_first_token = {};
    Duration copy_total{0};
  };
  using JobPtr = std::shared_ptr<Job>;
  struct Lane {
    std::deque<JobPtr> waiting;
    bool running = false;
    TimePoint no_room_until;  ///< its version is not tried to be made hot before
  };

  void user_ended(const JobPtr& job, Capture& capture, const gateway::RequestRecord& record);
  [[nodiscard]] std::vector<JobPtr> due(bool quiet) EXCLUDES(mutex_);
  void begin(const JobPtr& job);
  void make_hot(const JobPtr& job);
  [[nodiscard]] bool has_no_room(const std::string& alias) const EXCLUDES(mutex_);
  void not_made_hot(const JobPtr& job, const Error& why) EXCLUDES(mutex_);
  void send(const JobPtr& job);
  void copied(const JobPtr& job, const OwnSink& sink, const gateway::RequestRecord& record);
  void ask_for_similarity(const JobPtr& job);
  void embedded(const JobPtr& job, const OwnSink& sink, const gateway::RequestRecord& record);
  void finish(const JobPtr& job, std::optional<double> similarity, const std::string& why_not);
  void fail(const JobPtr& job, std::string_view reason);
  /// It gave way to a user: again later. False where it has done so too often.
  [[nodiscard]] bool put_back(const JobPtr& job);
  void end(const JobPtr& job);
  [[nodiscard]] bool is_over(const Job& job) const;
  [[nodiscard]] bool gives_way(const Job& job) const;
  [[nodiscard]] gateway::CallOptions options_for(const Job& job, const std::string& model) const;

  const Dependencies dependencies_;
  const Bounds bounds_;
  const std::shared_ptr<ByteBudget> budget_;
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();  ///< for what the manager tells
  std::atomic<bool> stopping_ = false;
  mutable Mutex mutex_;
  std::map<std::string, Lane, std::less<>> lanes_ GUARDED_BY(mutex_);  ///< by alias
  TimePoint busy_at_ GUARDED_BY(mutex_);  ///< when a user's request was last seen
  Duration quiet_ GUARDED_BY(mutex_);     ///< asked for now; less with each copy that nobody has come into
};

}  // namespace switchyard::shadowing
