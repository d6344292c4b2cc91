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
#include <ctime>

#include "common.h"
#include "llama.h"

// Of OpenMP 5.0's runtime, where llama.cpp was built with one.
extern "C" int omp_pause_resource_all(int kind) __attribute__((weak));
extern "C" void omp_set_num_threads(int n) __attribute__((weak));

namespace switchyard::engine {
namespace {

constexpr int kOmpPauseSoft = 1;
// A program that wants a whole processor gets two thirds of one beside two threads of ours on two
// processors; one that reads what we say takes up to half of one.
constexpr double kTakesACore = 0.6;

// An engine that is streaming spends a few ms between decodes (sampling, handing out); it still
// counts as busy for this long, or its neighbour would flap between one thread and all.
constexpr std::int64_t kStaysBusyNs = 50'000'000;
constexpr std::size_t kMostEngines = 256;  // beyond these an engine decodes as configured

constexpr std::int64_t kLookEveryNs = 40'000'000;  // how often other programs are looked at
constexpr double kAverageNs = 100e6;               // time constant of their average

std::atomic<std::uint32_t> cores = 0;
std::atomic<std::uint32_t> loads = 0;

/// One per DecodeScope: when this engine last decoded, INT64_MAX while it does.
struct alignas(64) Activity {
  std::atomic<bool> taken = false;
  std::atomic<std::int64_t> last_ns = 0;
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

/// Engines that decode, this thread's own left out.
std::uint32_t count_engines(std::int64_t now) {
  std::uint32_t engines = 0;
  const std::size_t n = used_activities.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < n; ++i) {
    if (&activities[i] == self.activity) continue;
    const std::int64_t last = activities[i].last_ns.load(std::memory_order_relaxed);
    if (last > now || now - last < kStaysBusyNs) engines += last != 0 ? 1 : 0;
  }
  return engines;
}

std::uint32_t count_others(std::int64_t now) {
  return count_engines(now) + loads.load(std::memory_order_relaxed) - (self.is_load ? 1 : 0);
}

/// Processor time that the whole machine has spent, in steps of some 10 ms; 0 when the system does not say.
std::int64_t machine_time_ns() {
  static const int fd = ::open("/proc/stat", O_RDONLY | O_CLOEXEC);
  static const double tick_ns = 1e9 / static_cast<double>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
  std::array<char, 256> text{};
  if (fd < 0 || ::pread(fd, text.data(), text.size() - 1, 0) <= 0) return 0;
  double user = 0, nice = 0, system = 0, irq = 0, soft = 0;
  if (std::sscanf(text.data(), "cpu %lf %lf %lf %*f %*f %lf %lf", &user, &nice, &system, &irq, &soft) != 5)
    return 0;
  return static_cast<std::int64_t>((user + nice + system + irq + soft) * tick_ns);
}

std::int64_t own_time_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

/// Processors that other programs keep busy, averaged over about 100 ms. Of what they spend and not of who
/// runs at this moment: a decode begins when its last token has just woken whoever reads it.
double foreign_busy(std::int64_t now) {
  static std::atomic<std::int64_t> looked_at = 0, spent_before = 0;
  static std::atomic<double> average = 0;
  std::int64_t last = looked_at.load(std::memory_order_relaxed);
  if (now - last < kLookEveryNs || !looked_at.compare_exchange_strong(last, now)) return average;
  const std::int64_t spent = std::max<std::int64_t>(0, machine_time_ns() - own_time_ns());
  const auto window = static_cast<double>(now - last);
  const double seen = std::max(0.0, static_cast<double>(spent - spent_before.exchange(spent)) / window);
  if (last == 0) return 0;  // since when, is not known
  const double weight = 1.0 - std::exp(-window / kAverageNs);
  average = average + weight * (seen - average);
  return average;
}

}  // namespace

std::int32_t threads_for(std::int32_t configured, const Demand& demand) {
  const auto share = static_cast<std::int32_t>(demand.cores / (demand.others + 1));
  const auto taken = static_cast<std::int32_t>(demand.foreign + 1.0 - kTakesACore);
  const auto free = static_cast<std::int32_t>(demand.machine) - taken;
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
  end_idle_workers();
}

bool an_engine_decodes() { return count_engines(now_ns()) > 0; }

void end_idle_workers() {
  if (omp_pause_resource_all != nullptr) omp_pause_resource_all(kOmpPauseSoft);
}

static Demand demand_now() {
  static const auto machine = static_cast<std::uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  const std::int64_t now = now_ns();
  return {.cores = cores, .others = count_others(now), .machine = machine, .foreign = foreign_busy(now)};
}

void share_openmp_threads() {
  if (cores == 0 || omp_set_num_threads == nullptr) return;
  omp_set_num_threads(threads_for(static_cast<std::int32_t>(cores.load()), demand_now()));
}

/// Before and after each decode of an engine's thread.
static void begin_decode(llama_context* ctx) {
  if (self.activity == nullptr || cores == 0) return;
  const Demand demand = demand_now();
  self.activity->last_ns.store(INT64_MAX, std::memory_order_relaxed);
  llama_set_n_threads(ctx, threads_for(self.threads, demand), threads_for(self.threads_batch, demand));
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
