#include "tenants/window.h"

namespace switchyard::tenants {
void Window::forget(TimePoint now) {
  while (!parts_.empty() && parts_.front().leaves <= now) {
    sum_ -= parts_.front().amount;
    parts_.pop_front();
  }
}

void Window::add(TimePoint now, std::uint64_t amount) {
  forget(now);
  if (amount == 0) return;
  const TimePoint leaves = now + kLength;
  sum_ += amount;
  if (!parts_.empty() && parts_.back().leaves == leaves) {
    parts_.back().amount += amount;
  } else {
    parts_.push_back({leaves, amount});
  }
}

std::uint64_t Window::sum(TimePoint now) {
  forget(now);
  return sum_;
}

Duration Window::until_below(TimePoint now, std::uint64_t limit) {
  forget(now);
  std::uint64_t left = sum_;
  for (auto part = parts_.begin(); part != parts_.end() && left >= limit; ++part) {
    left -= part->amount;
    if (left < limit) return part->leaves - now;
  }
  return Duration::zero();
}

Duration Window::until_empty(TimePoint now) {
  forget(now);
  return parts_.empty() ? Duration::zero() : parts_.back().leaves - now;
}

}  // namespace switchyard::tenants
