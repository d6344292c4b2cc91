#include "engine/worker/busy_board.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <new>

namespace switchyard::engine::worker {
namespace {

constexpr std::size_t kMostEngines = 256;  // beyond these an engine decodes as configured
constexpr std::size_t kMostProcesses = 128;

std::int64_t spent_by(pid_t pid) {
  clockid_t clock = 0;
  timespec time{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return 0;
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

/// Zeroed memory is one without anybody.
struct BusyBoard::Memory {
  struct Process {
    std::atomic<std::int32_t> pid;
    std::atomic<std::uint32_t> loads;
  };
  struct alignas(64) Watched {
    std::atomic<std::int32_t> pid;
    LoopActivity activity;
  };
  std::array<Seat, kMostEngines> seats;
  std::atomic<std::size_t> used_seats;  // high-water mark
  std::array<Watched, kMostEngines> watched;
  std::array<Process, kMostProcesses + 1> processes;
  std::atomic<std::int64_t> spent_by_dead_ns;
};

BusyBoard::BusyBoard() : BusyBoard(::memfd_create("switchyard-busy", MFD_CLOEXEC)) {}

BusyBoard::BusyBoard(int fd) : fd_(fd) {
  static_assert(std::atomic<std::int64_t>::is_always_lock_free);
  void* mapped = MAP_FAILED;
  if (fd_ >= 0 && ::ftruncate(fd_, sizeof(Memory)) == 0)
    mapped = ::mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (mapped == MAP_FAILED) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    mapped = ::mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<Memory*>(mapped);
  enter();
}

BusyBoard::~BusyBoard() {
  ::munmap(memory_, sizeof(Memory));
  if (fd_ >= 0) ::close(fd_);
}

void BusyBoard::enter() {
  for (place_ = 0; place_ < kMostProcesses; ++place_) {
    std::int32_t free = 0;
    if (memory_->processes[place_].pid.compare_exchange_strong(free, ::getpid())) return;
  }
}

BusyBoard::Seat* BusyBoard::take_seat() {
  for (std::size_t i = 0; i < kMostEngines; ++i) {
    std::int32_t free = 0;
    if (!memory_->seats[i].pid.compare_exchange_strong(free, ::getpid())) continue;
    memory_->seats[i].last_ns = 0;
    std::size_t seen = memory_->used_seats;
    while (seen < i + 1 && !memory_->used_seats.compare_exchange_weak(seen, i + 1)) {
    }
    return &memory_->seats[i];
  }
  return nullptr;
}

void BusyBoard::leave(Seat& seat) {
  seat.last_ns = 0;
  seat.pid = 0;
}

std::uint32_t BusyBoard::decoding(std::int64_t now_ns, std::int64_t window_ns, const Seat* but) const {
  std::uint32_t engines = 0;
  const std::size_t n = memory_->used_seats.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < n; ++i) {
    if (&memory_->seats[i] == but) continue;
    const std::int64_t last = memory_->seats[i].last_ns.load(std::memory_order_relaxed);
    if (last != 0 && (last > now_ns || now_ns - last < window_ns)) ++engines;
  }
  return engines;
}

std::shared_ptr<LoopActivity> BusyBoard::make_activity() {
  for (Memory::Watched& watched : memory_->watched) {
    std::int32_t free = 0;
    if (!watched.pid.compare_exchange_strong(free, ::getpid())) continue;
    return {&watched.activity, [&watched](LoopActivity* activity) {
              activity->end();
              watched.pid = 0;
            }};
  }
  return std::make_shared<LoopActivity>();
}

std::optional<std::uint64_t> BusyBoard::place_of(const LoopActivity& activity) const {
  const auto& all = memory_->watched;
  const auto found =
      std::ranges::find(all, &activity, [](const Memory::Watched& watched) { return &watched.activity; });
  if (found == all.end()) return std::nullopt;
  return static_cast<std::uint64_t>(found - all.begin());
}

std::shared_ptr<const LoopActivity> BusyBoard::activity_at(std::uint64_t place) const {
  if (place >= memory_->watched.size()) return nullptr;
  return {std::shared_ptr<const LoopActivity>(), &memory_->watched[place].activity};
}

void BusyBoard::begin_load() { ++memory_->processes[place_].loads; }
void BusyBoard::end_load() { --memory_->processes[place_].loads; }

std::uint32_t BusyBoard::loads() const {
  std::uint32_t loads = 0;
  for (const auto& process : memory_->processes) loads += process.loads.load(std::memory_order_relaxed);
  return loads;
}

std::int64_t BusyBoard::spent_ns() const {
  std::int64_t spent = memory_->spent_by_dead_ns;
  for (const auto& process : memory_->processes) {
    if (const pid_t pid = process.pid.load(std::memory_order_relaxed); pid != 0) spent += spent_by(pid);
  }
  return spent;
}

void BusyBoard::clear(pid_t pid, std::int64_t spent_ns) {
  for (auto& process : memory_->processes) {
    if (process.pid != pid) continue;
    process.loads = 0;
    memory_->spent_by_dead_ns += spent_ns;
    process.pid = 0;
  }
  for (Seat& seat : memory_->seats) {
    if (seat.pid == pid) leave(seat);
  }
  for (Memory::Watched& watched : memory_->watched) {
    if (watched.pid != pid) continue;
    watched.activity.end();
    watched.pid = 0;
  }
}

}  // namespace switchyard::engine::worker
