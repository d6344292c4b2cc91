#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "switchyard/result.h"
#include "tenants/key.h"
#include "tenants/window.h"

namespace switchyard::tenants {

/// How a key stands to its limits at one moment; empty where it has none.
struct Standing {
  struct OfOne {
    std::uint64_t limit = 0;
    std::uint64_t remaining = 0;
    Duration reset{0};  ///< until all of it is there again
    bool operator==(const OfOne&) const = default;
  };
  std::optional<OfOne> requests = {}, tokens = {};
};

/// What a request may still take, as far as that can be told before it runs.
struct Ahead {
  std::uint64_t tokens = 0;  ///< prompt and reply
  bool is_bound = false;     ///< it says itself how long its reply is at most
};

/// What one key has in progress and has used within the last minute. Any thread.
class Account {
 public:
  explicit Account(const Clock& clock) : clock_(clock) {}
  /// Takes a place among the parallel ones and counts a request, or says why not and takes nothing.
  [[nodiscard]] std::optional<Error> enter(const Limits& limits, Ahead ahead, Duration& retry_after)
      EXCLUDES(mutex_);
  /// One that entered with `ahead` is over.
  void leave(std::uint64_t tokens, Ahead ahead) EXCLUDES(mutex_);
  [[nodiscard]] Standing standing(const Limits& limits) EXCLUDES(mutex_);

 private:
  const Clock& clock_;
  Mutex mutex_;
  Window requests_ GUARDED_BY(mutex_);
  Window tokens_ GUARDED_BY(mutex_);
  std::uint64_t running_ GUARDED_BY(mutex_) = 0;
  std::uint64_t ahead_ GUARDED_BY(mutex_) = 0;  // tokens of those that run
};

/// One admitted request: its place among the parallel ones, given back once, by end() or at the latest when
/// this goes. One thread at a time.
class Permit {
 public:
  Permit(std::shared_ptr<Account> account, const Limits& limits, Ahead ahead)
      : account_(std::move(account)), limits_(limits), ahead_(ahead) {}
  ~Permit() { end(0); }
  Permit(Permit&&) noexcept = default;
  Permit& operator=(Permit&&) = delete;
  Permit(const Permit&) = delete;
  Permit& operator=(const Permit&) = delete;

  /// The request is over and took so many tokens. Only the first call counts.
  void end(std::uint64_t tokens);
  [[nodiscard]] Standing standing() const { return account_ ? account_->standing(limits_) : Standing{}; }

 private:
  std::shared_ptr<Account> account_;
  const Limits limits_;
  const Ahead ahead_;
  bool ended_ = false;
};

/// Why a request was not admitted, and after what time it is worth another try.
struct Refusal {
  Error error;  ///< kOverloaded
  Duration retry_after{0};
  Standing standing;
};

/// Holds keys to their limits. Exact with any number of threads: a request is admitted and counted in one
/// step, and never is one more of them let through than the limit says, within any minute. Requests that
/// were refused are not counted. Tokens are known when a reply ends; until then a request is taken to need
/// what is ahead of it, and is admitted where those of the last minute, of all that run and its own are
/// within the limit. So the limit is kept where no request takes more than was ahead of it; one that alone
/// may need more than the limit waits until it is alone and nothing was used, one without a bound until it is
/// alone. Kept in memory: a restart begins with a minute that has nothing in it. Any thread.
class Limiter {
 public:
  explicit Limiter(const Clock& clock = Clock::steady()) : clock_(clock) {}

  [[nodiscard]] std::expected<Permit, Refusal> admit(const std::string& key_id, const Limits& limits,
                                                     Ahead ahead = {}) EXCLUDES(mutex_);
  /// Of a key that is no more. What runs under it goes on.
  void forget(const std::string& key_id) EXCLUDES(mutex_);

 private:
  const Clock& clock_;
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<Account>> accounts_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::tenants
