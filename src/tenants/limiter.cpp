#include "tenants/limiter.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace switchyard::tenants {
namespace {

/// Nobody knows when a running request ends.
constexpr std::chrono::seconds kLookAgain{1};

Error over_limit(std::string_view what, std::uint64_t limit) {
  return {ErrorCode::kOverloaded, fmt::format("this key's limit of {} {} is reached", limit, what)};
}

Standing::OfOne of_one(Window& window, TimePoint now, std::uint64_t limit) {
  return {.limit = limit,
          .remaining = limit - std::min(limit, window.sum(now)),
          .reset = window.until_empty(now)};
}

}  // namespace

std::optional<Error> Account::enter(const Limits& limits, Ahead ahead, Duration& retry_after) {
  const MutexLock lock(mutex_);
  const TimePoint now = clock_.now();
  if (limits.parallel && running_ >= *limits.parallel) {
    retry_after = kLookAgain;
    return over_limit("requests at once", *limits.parallel);
  }
  if (limits.rpm && requests_.sum(now) >= *limits.rpm) {
    retry_after = requests_.until_below(now, *limits.rpm);
    return over_limit("requests a minute", *limits.rpm);
  }
  const std::uint64_t used = tokens_.sum(now);
  if (limits.tpm && used >= *limits.tpm) {
    retry_after = tokens_.until_below(now, *limits.tpm);
    return over_limit("tokens a minute", *limits.tpm);
  }
  if (limits.tpm && ahead.tokens > 0) {
    const std::uint64_t needed = std::min(ahead.tokens, *limits.tpm);
    if (ahead_ > 0 && used + ahead_ + needed > *limits.tpm) {
      retry_after = kLookAgain;
      if (used + needed > *limits.tpm)
        retry_after = std::max<Duration>(retry_after, tokens_.until_below(now, *limits.tpm - needed + 1));
      return Error{
          ErrorCode::kOverloaded,
          fmt::format("what this key's limit of {} tokens a minute leaves may be needed by its requests "
                      "that run",
                      *limits.tpm)};
    }
    if (ahead.is_bound && used + needed > *limits.tpm) {
      retry_after = tokens_.until_below(now, *limits.tpm - needed + 1);
      return Error{ErrorCode::kOverloaded,
                   fmt::format("this request may take {} tokens, and this key's limit of {} tokens a minute "
                               "leaves {}",
                               ahead.tokens, *limits.tpm, *limits.tpm - used)};
    }
  }
  ++running_;
  ahead_ += ahead.tokens;
  requests_.add(now, 1);
  return std::nullopt;
}

void Account::leave(std::uint64_t tokens, Ahead ahead) {
  const MutexLock lock(mutex_);
  --running_;
  ahead_ -= ahead.tokens;
  tokens_.add(clock_.now(), tokens);
}

Standing Account::standing(const Limits& limits) {
  const MutexLock lock(mutex_);
  const TimePoint now = clock_.now();
  Standing standing;
  if (limits.rpm) standing.requests = of_one(requests_, now, *limits.rpm);
  if (limits.tpm) standing.tokens = of_one(tokens_, now, *limits.tpm);
  return standing;
}

void Permit::end(std::uint64_t tokens) {
  if (account_ != nullptr && !std::exchange(ended_, true)) account_->leave(tokens, ahead_);
}

std::expected<Permit, Refusal> Limiter::admit(const std::string& key_id, const Limits& limits, Ahead ahead) {
  std::shared_ptr<Account> account;
  {
    const MutexLock lock(mutex_);
    std::shared_ptr<Account>& known = accounts_[key_id];
    if (known == nullptr) known = std::make_shared<Account>(clock_);
    account = known;
  }
  Duration retry_after{0};
  if (auto error = account->enter(limits, ahead, retry_after)) {
    return std::unexpected(Refusal{std::move(*error), retry_after, account->standing(limits)});
  }
  return Permit(std::move(account), limits, ahead);
}

void Limiter::forget(const std::string& key_id) {
  const MutexLock lock(mutex_);
  accounts_.erase(key_id);
}

}  // namespace switchyard::tenants
