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
#include "engine/damage_watch.h"
#include "engine/decode_watch.h"
#include "engine/worker/busy_board.h"
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

constexpr std::int64_t kLookEveryNs = 40'000'000;  // how often other programs are looked at
constexpr double kAverageNs = 100e6;               // time constant of their average

std::atomic<std::uint32_t> cores = 0;

int inherited_board = -1;  // set, if at all, before the first use

/// Never destroyed: the last engine's thread may outlive it otherwise.
worker::BusyBoard& board() {
  static auto* const made =
      inherited_board >= 0 ? new worker::BusyBoard(inherited_board) : new worker::BusyBoard();
  return *made;
}

struct Self {
  worker::BusyBoard::Seat* seat = nullptr;
  std::int32_t threads = 0;
  std::int32_t threads_batch = 0;
  bool is_load = false;
};
thread_local Self self;

std::int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

/// Engines that decode, this thread's own left out.
std::uint32_t count_engines(std::int64_t now) { return board().decoding(now, kStaysBusyNs, self.seat); }

std::uint32_t count_others(std::int64_t now) {
  return count_engines(now) + board().loads() - (self.is_load ? 1 : 0);
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

/// Processors that other programs keep busy, averaged over about 100 ms. Of what they spend and not of who
/// runs at this moment: a decode begins when its last token has just woken whoever reads it.
double foreign_busy(std::int64_t now) {
  static std::atomic<std::int64_t> looked_at = 0, spent_before = 0;
  static std::atomic<double> average = 0;
  std::int64_t last = looked_at.load(std::memory_order_relaxed);
  if (now - last < kLookEveryNs || !looked_at.compare_exchange_strong(last, now)) return average;
  const std::int64_t spent = std::max<std::int64_t>(0, machine_time_ns() - board().spent_ns());
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

worker::BusyBoard& busy_board() { return board(); }

void join_busy_board(int fd) { inherited_board = fd; }

DecodeScope::DecodeScope(std::int32_t threads, std::int32_t threads_batch) {
  self.threads = threads;
  self.threads_batch = threads_batch;
  self.seat = board().take_seat();
}

DecodeScope::~DecodeScope() {
  if (self.seat != nullptr) worker::BusyBoard::leave(*self.seat);
  self.seat = nullptr;
}

LoadingScope::LoadingScope() {
  board().begin_load();
  self.is_load = true;
}

LoadingScope::~LoadingScope() {
  board().end_load();
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
  if (self.seat == nullptr || cores == 0) return;
  const Demand demand = demand_now();
  self.seat->last_ns.store(INT64_MAX, std::memory_order_relaxed);
  llama_set_n_threads(ctx, threads_for(self.threads, demand), threads_for(self.threads_batch, demand));
}

static void end_decode() {
  if (self.seat != nullptr) self.seat->last_ns.store(now_ns(), std::memory_order_relaxed);
}

static std::int32_t decode_with(std::int32_t (*decode)(llama_context*, llama_batch), llama_context* ctx,
                                const llama_batch& batch) {
  begin_decode(ctx);
  DecodeWatch::begin(ctx);
  const std::int32_t result = DecodeWatch::end(DecodeWatch::refuses() ? 0 : decode(ctx, batch));
  end_decode();
  return result;
}

}  // namespace switchyard::engine

extern "C" {
std::int32_t __real_llama_decode(llama_context* ctx, llama_batch batch);
std::int32_t __real_llama_encode(llama_context* ctx, llama_batch batch);

std::int32_t __wrap_llama_decode(llama_context* ctx, llama_batch batch) {
  return switchyard::engine::checked_decode(
      ctx, switchyard::engine::decode_with(&__real_llama_decode, ctx, batch));
}

std::int32_t __wrap_llama_encode(llama_context* ctx, llama_batch batch) {
  return switchyard::engine::checked_decode(
      ctx, switchyard::engine::decode_with(&__real_llama_encode, ctx, batch));
}
}
