#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/host_memory.h"

namespace switchyard::pressure {

/// What the kernel says of memory at one moment. What it does not offer is absent.
struct MemoryReading {
  TimePoint at;
  HostMemory memory;
  /// For how long some task has waited for memory since the system (or the cgroup) began: PSI's "some".
  std::optional<Duration> stalled = {};
  /// How often the cgroup (v2) ran into its limits: memory.events' high, max and oom.
  std::optional<std::uint64_t> limit_hits = {};
};

/// Where readings come from. One thread.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  [[nodiscard]] virtual MemoryReading read() = 0;
};

/// The kernel's files: /proc/meminfo, the cgroup's, and PSI of the cgroup or else of the machine. `root`
/// stands for "/" in tests.
[[nodiscard]] std::unique_ptr<MemorySource> make_memory_source(const std::filesystem::path& root = "/",
                                                               const Clock& clock = Clock::steady());

/// The file with the pressure that counts for this process; empty where the kernel has none.
[[nodiscard]] std::filesystem::path pressure_file(const std::filesystem::path& root = "/");

}  // namespace switchyard::pressure
