#include "shadowing/copies.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace switchyard::shadowing {
namespace {

/// How often a copy gives way to users before it is given up.
constexpr unsigned kMostInterruptions = 5;
/// Bytes of a reply with two embeddings.
constexpr std::size_t kLongestEmbeddings = 4 << 20;

constexpr std::string_view kNoRoom = "no_room";
/// Each look costs an inspection and a line of the log.
constexpr std::chrono::seconds kLookForRoomAgain{30};

std::string status_reason(int status) { return fmt::format("status_{}", status); }

}  // namespace

Copies::Copies(Dependencies dependencies, Bounds bounds)
    : dependencies_(dependencies),
      bounds_(bounds),
      budget_(std::make_shared<ByteBudget>(bounds.most_bytes)),
      busy_at_(dependencies.clock.now()),
      quiet_(bounds.quiet) {}

void Copies::watch(gateway::CallOptions& options, const engine::Request& request,
                   std::shared_ptr<gateway::ReplySink>& sink) {
  const bool may_be = request.method == "POST" && options.conversation.empty() && request.files.empty();
  const auto form = may_be ? reply_form(request.path) : std::nullopt;
  if (!form) return;
  const traffic::ShadowPtr shadow = dependencies_.shadows.of(options.model);
  if (shadow == nullptr || !traffic::is_shadowed(shadow->alias, options.request_id, shadow->plan.fraction))
    return;
  if (request.body.size() > bounds_.longest_request)
    return dependencies_.shadows.note_dropped(*shadow, "request_too_long");
  HeldBytes held(budget_);
  if (!held.grow(request.body.size())) return dependencies_.shadows.note_dropped(*shadow, "no_memory");
  auto job = std::make_shared<Job>(Job{.shadow = shadow,
                                       .form = *form,
                                       .path = request.path,
                                       .body = request.body,
                                       .request_id = options.request_id,
                                       .owner = request.owner,
                                       .held = std::move(held)});
  const auto capture = std::make_shared<Capture>(sink, HeldBytes(budget_), bounds_.longest_reply);
  sink = capture;
  options.observer = [this, job, capture,
                      other = std::move(options.observer)](const gateway::RequestRecord& record) {
    if (other) other(record);
    user_ended(job, *capture, record);
  };
}

void Copies::user_ended(const JobPtr& job, Capture& capture, const gateway::RequestRecord& record) {
  const traffic::Shadow& shadow = *job->shadow;
  job->reply = capture.take();
  const bool was_answered = record.outcome == gateway::Outcome::kAnswered && record.status == 200 &&
                            job->reply.whole && record.version != shadow.to;
  if (!was_answered || stopping_) return;
  if (job->reply.too_long) return dependencies_.shadows.note_dropped(shadow, "reply_too_long");
  job->answered = record.version;
  job->tokens = record.tokens.generated;
  job->first_token = gateway::first_token(record);
  job->total = record.total - record.queued;
  job->at = std::chrono::system_clock::now();
  {
    const MutexLock lock(mutex_);
    busy_at_ = dependencies_.clock.now();
    Lane& lane = lanes_[shadow.alias];
    if (lane.waiting.size() < bounds_.most_waiting) {
      lane.waiting.push_back(job);
      return;
    }
  }
  dependencies_.shadows.note_dropped(shadow, "too_many");
}

void Copies::tick() {
  bool quiet = false;
  {
    const bool busy = dependencies_.gateway.users() > 0;
    const TimePoint now = dependencies_.clock.now();
    const MutexLock lock(mutex_);
    if (busy) busy_at_ = now;
    quiet = now - busy_at_ >= quiet_ && !busy;
  }
  for (const JobPtr& job : due(quiet)) dependencies_.executor.post([this, job] { begin(job); });
}

/// Takes what may begin: the first of each lane, and the lane with it.
std::vector<Copies::JobPtr> Copies::due(bool quiet) {
  std::vector<JobPtr> jobs;
  const MutexLock lock(mutex_);
  for (auto& [alias, lane] : lanes_) {
    std::erase_if(lane.waiting, [this](const JobPtr& job) { return is_over(*job); });
    if (lane.running || lane.waiting.empty()) continue;
    if (!quiet && !lane.waiting.front()->shadow->plan.beside_users) continue;
    jobs.push_back(std::move(lane.waiting.front()));
    lane.waiting.pop_front();
    lane.running = true;
  }
  return jobs;
}

bool Copies::is_over(const Job& job) const {
  return stopping_ || !dependencies_.shadows.is_running(*job.shadow);
}

bool Copies::gives_way(const Job& job) const {
  return is_over(job) || (!job.shadow->plan.beside_users && dependencies_.gateway.users() > 0);
}

void Copies::begin(const JobPtr& job) {
  if (stopping_) return;
  if (job->copied) return ask_for_similarity(job);
  auto request =
      copy_request(job->form, job->body, job->shadow->to.to_string(), job->shadow->plan.max_tokens);
  if (!request) return fail(job, to_string(request.error().code));
  job->request = *std::move(request);
  const auto standing = dependencies_.manager.standing(job->shadow->to);
  if (standing && standing->state == models::State::kHot) return send(job);
  make_hot(job);
}

/// In free room: a copy costs no other model its place.
void Copies::make_hot(const JobPtr& job) {
  if (has_no_room(job->shadow->alias)) return fail(job, kNoRoom);
  const Status begun =
      dependencies_.manager.preload(job->shadow->to, [this, gate = gate_, job](const Status& loaded) {
        gate->pass([&] {
          dependencies_.executor.post([this, job, loaded] {
            if (loaded) return send(job);
            not_made_hot(job, loaded.error());
          });
        });
      });
  if (!begun) not_made_hot(job, begun.error());
}

bool Copies::has_no_room(const std::string& alias) const {
  const MutexLock lock(mutex_);
  const auto lane = lanes_.find(alias);
  return lane != lanes_.end() && dependencies_.clock.now() < lane->second.no_room_until;
}

void Copies::not_made_hot(const JobPtr& job, const Error& why) {
  if (why.code != ErrorCode::kUnavailable) return fail(job, to_string(why.code));
  {
    const MutexLock lock(mutex_);
    lanes_[job->shadow->alias].no_room_until = dependencies_.clock.now() + kLookForRoomAgain;
  }
  fail(job, kNoRoom);
}

gateway::CallOptions Copies::options_for(const Job& job, const std::string& model) const {
  return {.model = model,
          .request_id = job.request_id + "-shadow",
          .make_hot = models::MakeHot::kNothing,
          .takes_slot = true,
          .tier = gateway::Tier::kBackground};
}

void Copies::send(const JobPtr& job) {
  if (stopping_) return;
  const auto sink = std::make_shared<OwnSink>(job->form, bounds_.longest_reply, [this, job] {
    // Who sends it away wants its room: a drain does not wait for a copy.
    const auto standing = dependencies_.manager.standing(job->shadow->to);
    return gives_way(*job) || !standing || standing->state != models::State::kHot;
  });
  gateway::CallOptions options = options_for(*job, job->shadow->to.to_string());
  options.observer = [this, job, sink](const gateway::RequestRecord& record) {
    dependencies_.executor.post([this, job, sink, record] { copied(job, *sink, record); });
  };
  engine::Request request;
  request.method = "POST";
  request.path = job->path;
  request.body = job->request.body;
  request.owner = job->owner;
  dependencies_.gateway.run(std::move(options), std::move(request), sink);
}

void Copies::copied(const JobPtr& job, const OwnSink& sink, const gateway::RequestRecord& record) {
  if (stopping_) return;
  if (sink.too_long()) return fail(job, "reply_too_long");
  const bool lost_its_slot = record.error && record.error->code == ErrorCode::kUnavailable;
  if (sink.gave_up() || lost_its_slot) {
    if (!put_back(job)) fail(job, "interrupted");
    return;
  }
  if (record.error) {
    // It was hot a moment ago; somebody has taken its room.
    const bool has_gone = record.error->code == ErrorCode::kInvalidArgument;
    return fail(job, has_gone ? "not_hot" : to_string(record.error->code));
  }
  if (sink.status() != 200) return fail(job, status_reason(sink.status()));
  ReplyText text = sink.text();
  if (!text.whole || !text.error.empty()) return fail(job, "cut");
  job->copied = std::move(text);
  job->copy_first_token = gateway::first_token(record);
  job->copy_total = record.total - record.queued;
  ask_for_similarity(job);
}

void Copies::ask_for_similarity(const JobPtr& job) {
  const std::string& model = job->shadow->plan.similarity_model;
  if (model.empty()) return finish(job, std::nullopt, "");
  const std::string user = (job->reply.streamed ? read_stream(job->form, job->reply.bytes)
                                                : read_body(job->form, job->reply.bytes))
                               .text;
  const std::string& copy = job->copied->text;
  if (user == copy) return finish(job, 1.0, "");
  if (user.empty() || copy.empty()) return finish(job, std::nullopt, "empty");
  const auto sink =
      std::make_shared<OwnSink>(std::nullopt, kLongestEmbeddings, [this, job] { return gives_way(*job); });
  gateway::CallOptions options = options_for(*job, model);
  options.observer = [this, job, sink](const gateway::RequestRecord& record) {
    dependencies_.executor.post([this, job, sink, record] { embedded(job, *sink, record); });
  };
  engine::Request request;
  request.method = "POST";
  request.path = "/v1/embeddings";
  request.body = embeddings_request(model, user, copy);
  request.owner = job->owner;
  dependencies_.gateway.run(std::move(options), std::move(request), sink);
}

void Copies::embedded(const JobPtr& job, const OwnSink& sink, const gateway::RequestRecord& record) {
  if (stopping_) return;
  if (sink.gave_up() && put_back(job)) return;
  if (sink.gave_up()) return finish(job, std::nullopt, "interrupted");
  if (record.error) {
    const bool is_away = record.error->code == ErrorCode::kInvalidArgument;
    return finish(job, std::nullopt, is_away ? "not_hot" : std::string(to_string(record.error->code)));
  }
  if (sink.status() != 200) return finish(job, std::nullopt, status_reason(sink.status()));
  const auto similarity = similarity_of(sink.bytes());
  finish(job, similarity, similarity ? "" : "no_embeddings");
}

void Copies::finish(const JobPtr& job, std::optional<double> similarity, const std::string& why_not) {
  const ReplyText user =
      job->reply.streamed ? read_stream(job->form, job->reply.bytes) : read_body(job->form, job->reply.bytes);
  const ReplyText& copy = *job->copied;
  if (!user.whole) return fail(job, "unreadable_reply");
  traffic::ShadowComparison comparison = traffic::compare({.text = user.text,
                                                           .is_json = is_json(user.text),
                                                           .tokens = user.tokens ? user.tokens : job->tokens,
                                                           .first_token = job->first_token,
                                                           .total = job->total},
                                                          {.text = copy.text,
                                                           .is_json = is_json(copy.text),
                                                           .tokens = copy.tokens,
                                                           .first_token = job->copy_first_token,
                                                           .total = job->copy_total},
                                                          job->request.wants_json);
  comparison.similarity = similarity;
  comparison.no_similarity = why_not;
  if (job->shadow->plan.keep_replies) {
    dependencies_.shadows.keep(*job->shadow, {.at = job->at,
                                              .request_id = job->request_id,
                                              .version = job->answered,
                                              .prompt = job->request.prompt,
                                              .reply = user.text,
                                              .copy = copy.text,
                                              .similarity = similarity});
  }
  dependencies_.shadows.note(*job->shadow, comparison);
  {
    const MutexLock lock(mutex_);
    quiet_ = std::max(quiet_ * 9 / 10, bounds_.quiet);
  }
  end(job);
}

void Copies::fail(const JobPtr& job, std::string_view reason) {
  dependencies_.shadows.note_failed(*job->shadow, reason);
  end(job);
}

bool Copies::put_back(const JobPtr& job) {
  if (++job->interruptions > kMostInterruptions) return false;
  if (is_over(*job)) {
    end(job);
    return true;
  }
  const MutexLock lock(mutex_);
  Lane& lane = lanes_[job->shadow->alias];
  lane.waiting.push_front(job);
  lane.running = false;
  quiet_ = std::min(quiet_ * 2, bounds_.longest_quiet);
  return true;
}

void Copies::end(const JobPtr& job) {
  const MutexLock lock(mutex_);
  lanes_[job->shadow->alias].running = false;
}

void Copies::stop() {
  stopping_ = true;
  gate_->close();
  std::map<std::string, Lane, std::less<>> forgotten;
  const MutexLock lock(mutex_);
  lanes_.swap(forgotten);
}

std::size_t Copies::waiting(std::string_view alias) const {
  const MutexLock lock(mutex_);
  const auto lane = lanes_.find(alias);
  return lane == lanes_.end() ? 0 : lane->second.waiting.size() + (lane->second.running ? 1 : 0);
}

}  // namespace switchyard::shadowing
