#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "engine/api/loop_activity.h"

namespace switchyard::engine::worker {

/// Who of a server's processes works, in memory that they share: the server makes it, its workers join. Any
/// thread, without a lock. A process that dies leaves its marks; whoever sees it die clears them. Must
/// outlive the activities that it has handed out.
class BusyBoard {
 public:
  /// One engine's mark: when it last decoded, INT64_MAX while it does, 0 for not at all.
  struct alignas(64) Seat {
    std::atomic<std::int32_t> pid = 0;  ///< 0: free
    std::atomic<std::int64_t> last_ns = 0;
  };

  /// Memory of its own, which other processes may join by fd().
  BusyBoard();
  /// The memory behind `fd`, which is closed; its own where that cannot be mapped.
  explicit BusyBoard(int fd);
  ~BusyBoard();
  BusyBoard(const BusyBoard&) = delete;
  BusyBoard& operator=(const BusyBoard&) = delete;

  /// To be inherited; -1 where the system has no shared memory.
  [[nodiscard]] int fd() const { return fd_; }

  /// Null when all are taken.
  [[nodiscard]] Seat* take_seat();
  static void leave(Seat& seat);
  /// Engines that decode, or have less than `window_ns` before `now_ns`; `but` is left out.
  [[nodiscard]] std::uint32_t decoding(std::int64_t now_ns, std::int64_t window_ns, const Seat* but) const;

  /// For an engine of this process; the others see it at place_of() it. Memory of its own once all are taken.
  [[nodiscard]] std::shared_ptr<LoopActivity> make_activity();
  [[nodiscard]] std::optional<std::uint64_t> place_of(const LoopActivity& activity) const;
  /// Of another process's engine; when that is gone, it may become another one's. Null for what is no place.
  [[nodiscard]] std::shared_ptr<const LoopActivity> activity_at(std::uint64_t place) const;

  void begin_load();
  void end_load();
  /// Loads in progress in all processes.
  [[nodiscard]] std::uint32_t loads() const;

  /// Processor time that all processes have spent, those that are gone included.
  [[nodiscard]] std::int64_t spent_ns() const;
  /// What a process that has died left; `spent_ns` is the processor time that it took.
  void clear(pid_t pid, std::int64_t spent_ns);

 private:
  struct Memory;
  void enter();

  int fd_ = -1;
  Memory* memory_ = nullptr;
  std::size_t place_ = 0;  ///< of this process; one beyond the last where there was none left
};

}  // namespace switchyard::engine::worker
