#pragma once

#include <atomic>
#include <cstdint>

namespace switchyard::engine {

/// What an engine is at, told by its loop and read by anybody without waiting. One that is slow beats on, one
/// that is stuck does not. begin(), beat() and end() by the loop alone; read() by any thread.
class LoopActivity {
 public:
  struct Reading {
    bool working = false;     ///< from a decode until none of its slots has work
    std::uint64_t beats = 0;  ///< grows with every decode, and within one as it goes on
    bool operator==(const Reading&) const = default;
  };

  void begin() noexcept {
    working_.store(true, std::memory_order_relaxed);
    beat();
  }
  void beat() noexcept {
    beats_.store(beats_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  void end() noexcept {
    beat();
    working_.store(false, std::memory_order_relaxed);
  }
  [[nodiscard]] Reading read() const noexcept {
    return {.working = working_.load(std::memory_order_relaxed),
            .beats = beats_.load(std::memory_order_relaxed)};
  }

 private:
  std::atomic<bool> working_ = false;
  std::atomic<std::uint64_t> beats_ = 0;
};

}  // namespace switchyard::engine
