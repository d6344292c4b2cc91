#include "engine/thread_budget.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>

#include "common.h"
#include "llama.h"

namespace switchyard::engine {
namespace {

// An engine that is streaming spends a few ms between decodes (sampling, handing out); it still
// counts as busy for this long, or its neighbour would flap between one thread and all.
constexpr std::int64_t kStaysBusyNs = 50'000'000;
constexpr std::size_t kMostEngines = 256;  // beyond these an engine decodes as configured

constexpr std::int64_t kSpinsAfterNs =
    5'000'000;  // libgomp's workers go on spinning this long after a decode
constexpr std::int64_t kLoadReadEveryNs = 2'000'000;  // how often other programs are looked at
constexpr double kLoadAverageNs = 100e6;              // time constant of their average

std::atomic<std::uint32_t> cores = 0;
std::atomic<std::uint32_t> loads = 0;

/// One per DecodeScope: when this engine last decoded, INT64_MAX while it does, and with how many threads.
struct alignas(64) Activity {
  std::atomic<bool> taken = false;
  std::atomic<std::int64_t> last_ns = 0;
  std::atomic<std::int32_t> threads = 0;
};
std::array<Activity, kMostEngines> activities;
std::atomic<std::size_t> used_activities = 0;  // high-water mark of `activities`

struct Self {
  Activity* activity = nullptr;
  std::int32_t threads = 0;
  std::int32_t threads_batch = 0;
  bool is_load = false;
};
thread_local Self self;

std::int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

std::uint32_t count_others(std::int64_t now) {
  std::uint32_t others = loads.load(std::memory_order_relaxed) - (self.is_load ? 1 : 0);
  const std::size_t n = used_activities.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < n; ++i) {
    if (&activities[i] == self.activity) continue;
    const std::int64_t last = activities[i].last_ns.load(std::memory_order_relaxed);
    if (last > now || now - last < kStaysBusyNs) others += last != 0 ? 1 : 0;
  }
  return others;
}

/// Threads of ours that run now: decodes with their workers, and loads.
std::int32_t own_running(std::int64_t now) {
  std::int32_t running =
      static_cast<std::int32_t>(loads.load(std::memory_order_relaxed)) + (self.is_load ? 0 : 1);
  const std::size_t n = used_activities.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t last = activities[i].last_ns.load(std::memory_order_relaxed);
    const std::int32_t threads = activities[i].threads.load(std::memory_order_relaxed);
    if (last == 0 || (last < now && now - last > kSpinsAfterNs)) continue;
    running += &activities[i] == self.activity ? std::max(threads - 1, 0) : threads;
  }
  return running;
}

/// Tasks that run or wait for a processor, on the whole machine; 0 when the system does not say.
std::int32_t machine_running() {
  static const int fd = ::open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  std::array<char, 64> text{};
  int running = 0;
  if (fd < 0 || ::pread(fd, text.data(), text.size() - 1, 0) <= 0) return 0;
  return std::sscanf(text.data(), "%*f %*f %*f %d/", &running) == 1 ? running : 0;
}

/// How many threads of other programs compete, averaged over about 100 ms.
double foreign_running(std::int64_t now) {
  static std::atomic<std::int64_t> read_at = 0;
  static std::atomic<double> average = 0;
  std::int64_t last = read_at.load(std::memory_order_relaxed);
  if (now - last < kLoadReadEveryNs || !read_at.compare_exchange_strong(last, now)) return average;
  const double seen = std::max(0, machine_running() - own_running(now));
  const double weight = 1.0 - std::exp(-static_cast<double>(now - last) / kLoadAverageNs);
  average = average + weight * (seen - average);
  return average;
}

}  // namespace

std::int32_t threads_for(std::int32_t configured, const Demand& demand) {
  const auto share = static_cast<std::int32_t>(demand.cores / (demand.others + 1));
  const auto free =
      static_cast<std::int32_t>(demand.machine) - static_cast<std::int32_t>(std::lround(demand.foreign));
  return std::clamp(std::min(share, free), 1, std::max(configured, 1));
}

void set_thread_budget(std::uint32_t n) {
  cores = n > 0 ? n : static_cast<std::uint32_t>(std::max(1, common_cpu_get_num_math()));
}

std::uint32_t thread_budget() { return cores; }

DecodeScope::DecodeScope(std::int32_t threads, std::int32_t threads_batch) {
  self.threads = threads;
  self.threads_batch = threads_batch;
  for (std::size_t i = 0; i < kMostEngines; ++i) {
    bool free = false;
    if (!activities[i].taken.compare_exchange_strong(free, true)) continue;
    activities[i].last_ns = 0;
    self.activity = &activities[i];
    std::size_t seen = used_activities;
    while (seen < i + 1 && !used_activities.compare_exchange_weak(seen, i + 1)) {
    }
    return;
  }
}

DecodeScope::~DecodeScope() {
  if (self.activity != nullptr) {
    self.activity->last_ns = 0;
    self.activity->taken = false;
  }
  self.activity = nullptr;
}

LoadingScope::LoadingScope() {
  ++loads;
  self.is_load = true;
}

LoadingScope::~LoadingScope() {
  --loads;
  self.is_load = false;
}

/// Before and after each decode of an engine's thread.
static void begin_decode(llama_context* ctx) {
  if (self.activity == nullptr || cores == 0) return;
  static const auto machine = static_cast<std::uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  const std::int64_t now = now_ns();
  const Demand demand{
      .cores = cores, .others = count_others(now), .machine = machine, .foreign = foreign_running(now)};
  const std::int32_t threads = threads_for(self.threads, demand);
  const std::int32_t threads_batch = threads_for(self.threads_batch, demand);
  self.activity->threads.store(std::max(threads, threads_batch), std::memory_order_relaxed);
  self.activity->last_ns.store(INT64_MAX, std::memory_order_relaxed);
  llama_set_n_threads(ctx, threads, threads_batch);
}

static void end_decode() {
  if (self.activity != nullptr) self.activity->last_ns.store(now_ns(), std::memory_order_relaxed);
}

}  // namespace switchyard::engine

extern "C" {
std::int32_t __real_llama_decode(llama_context* ctx, llama_batch batch);
std::int32_t __real_llama_encode(llama_context* ctx, llama_batch batch);

std::int32_t __wrap_llama_decode(llama_context* ctx, llama_batch batch) {
  switchyard::engine::begin_decode(ctx);
  const std::int32_t result = __real_llama_decode(ctx, batch);
  switchyard::engine::end_decode();
  return result;
}

std::int32_t __wrap_llama_encode(llama_context* ctx, llama_batch batch) {
  switchyard::engine::begin_decode(ctx);
  const std::int32_t result = __real_llama_encode(ctx, batch);
  switchyard::engine::end_decode();
  return result;
}
}
