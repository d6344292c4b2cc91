#include "alerts/window.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace switchyard::alerts {
namespace {
constexpr std::size_t kMostSamples = 1024;
}

void Window::add(TimePoint at, double value) {
  const auto hits = [this](std::size_t one_in) {
    return std::uniform_int_distribution<std::size_t>(1, one_in)(random_) == 1;
  };
  if (!hits(one_in_)) return;
  samples_.emplace_back(at, value);
  if (samples_.size() <= kMostSamples) return;
  std::erase_if(samples_, [&](const auto&) { return hits(2); });
  one_in_ *= 2;
}

void Window::forget(TimePoint since) {
  while (!samples_.empty() && samples_.front().first < since) samples_.pop_front();
  if (samples_.size() < kMostSamples / 4) one_in_ = std::max<std::size_t>(one_in_ / 2, 1);
}

std::vector<double> Window::since(TimePoint since) const {
  std::vector<double> values;
  for (const auto& [at, value] : samples_) {
    if (at >= since) values.push_back(value);
  }
  return values;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double quantile(std::vector<double> values, double q) {
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size())));
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
  std::ranges::nth_element(values, at);
  return *at;
}

}  // namespace switchyard::alerts
